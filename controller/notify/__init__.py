"""Messages to people: what is due follows from the journal, what was sent is kept in the table ``notices``.

Why so: the journal is written in one transaction with what happened, so a message can be lost only if the journal is. A
process killed at any moment finds on its next start, by the same pure functions, which messages are due, and in the
table, which of them went out. Nothing of this is written into the journal, which says what happened to plates.

::

    journal --hear--> Desk (matters: a fault, a proposal, a night ..) --due--> Due (matter, step, channel) --compose-->
        notices: waiting --> sending --> sent
                    ^           |  failed: later, up to give_up_h; then given-up
                    +-----------+  killed between send and mark: sent again under the same id, and the text says so

`matters` and `rules` are pure; `words` writes the text; `post` moves notices through the table; `courier` sends one in
a child process that is killed at its deadline; `notifier` is the thread that keeps it all off the loop's back.
"""
