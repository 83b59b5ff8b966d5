"""Work lists for robots with software of their own, and what their result files say: pure text in, text out.

::

    Protocol, load --gwl | echo | columns | plr .write_*--> text, Names       names are data: `names`
    text, Names    --read_*--> Pick                                            the way back: equal to the transfers
    result bytes   --echo_report | results | opentrons_record | hamilton_trace--> Account
    Account        --as_result | as_outcome--> Ledger.commit                   `account`

Formats: shared/facts/robots.md section 5. Nothing here touches a file or a device.
"""
