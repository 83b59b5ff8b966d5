"""The tables as they are now. Migrations never import this: they say what a table was then."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _text(name: str) -> Column[str]:
    return Column(name, Text, nullable=False)


def _key(name: str) -> Column[str]:
    return Column(name, Text, primary_key=True)


def _integer(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _seq() -> Column[int]:
    # Every projected row names the event it follows from: the start of its id chain.
    return Column("seq", BigInteger, ForeignKey("journal.seq"), nullable=False)


JOURNAL = Table(
    "journal",
    METADATA,
    # INTEGER PRIMARY KEY is SQLite's own row number, so reading in order needs no index.
    Column("seq", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=False),
    _text("time"),
    _text("kind"),
    Column("campaign", Text),
    _text("payload"),
    _text("previous_hash"),
    _text("hash"),
    CheckConstraint("seq > 0", name="seq"),
    CheckConstraint("length(hash) = 64 AND length(previous_hash) = 64", name="hash"),
)

CAMPAIGNS = Table(
    "campaigns",
    METADATA,
    _key("campaign"),
    Column("seed", BigInteger, nullable=False),
    _integer("rounds"),
    _text("library"),
    _text("started_at"),
    _text("settings"),  # canonical JSON
    _seq(),
    CheckConstraint("rounds > 0", name="rounds"),
)

LIBRARIES = Table(
    "libraries",
    METADATA,
    _key("library"),  # digest
    _integer("n_compounds"),
    _seq(),
    CheckConstraint("n_compounds > 0", name="n_compounds"),
)

COMPOUNDS = Table(
    "compounds",
    METADATA,
    Column("library", Text, ForeignKey("libraries.library"), primary_key=True),
    Column("row", Integer, primary_key=True, autoincrement=False),  # row of the feature arrays, from 0
    _text("compound_id"),
    _text("smiles"),
    _text("raw_smiles"),
    UniqueConstraint("library", "compound_id"),
    CheckConstraint("\"row\" >= 0 AND compound_id <> ''", name="row"),
)

STOCK = Table(
    "stock",
    METADATA,
    _key("source_plate"),
    _key("source_well"),
    _text("compound_id"),  # of a compound, or the name of a control liquid
    Column("initial_volume_nl", BigInteger, nullable=False),
    Column("concentration_um", Float, nullable=False),  # 0 in a solvent
    _text("labware"),
    _text("file_digest"),
    _seq(),
    CheckConstraint("initial_volume_nl > 0", name="initial_volume_nl"),
    CheckConstraint("concentration_um >= 0", name="concentration_um"),
    Index("ix_stock_compound_id", "compound_id"),
)

STOCK_MOVEMENTS = Table(
    "stock_movements",
    METADATA,
    _key("key"),  # the device command's, for ever
    Column("transfer_id", Integer, primary_key=True, autoincrement=False),
    _text("plate"),
    _text("well"),
    Column("delta_nl", BigInteger, nullable=False),  # negative: taken out
    _seq(),
    ForeignKeyConstraint(["plate", "well"], ["stock.source_plate", "stock.source_well"]),
    Index("ix_stock_movements_plate", "plate", "well"),
)

PLATE_CARE = Table(
    "plate_care",
    METADATA,
    _key("plate"),
    _integer("n_thaws"),  # before this was said; later ones follow from plate_moves
    Column("max_thaws", Integer),
    Column("expires", Text),  # the last day, ISO
    _integer("evaporation_nl_per_h"),
    _seq(),
    CheckConstraint("n_thaws >= 0 AND evaporation_nl_per_h >= 0", name="counts"),
)

PLATE_MOVES = Table(
    "plate_moves",
    METADATA,
    _key("key"),  # the device command's, for ever
    Column("number", Integer, primary_key=True, autoincrement=False),  # of the move in the command, from 0
    _text("barcode"),
    _text("source"),
    _text("target"),
    _text("begun_at"),  # when the command was given; when it was over is the event's time
    _seq(),
)

TIP_RACKS = Table(
    "tip_racks",
    METADATA,
    _key("barcode"),
    _text("labware"),
    _integer("position"),  # racks are emptied in this order
    _seq(),
    UniqueConstraint("position"),
)

TIPS_USED = Table(
    "tips_used",
    METADATA,
    Column("rack", Text, ForeignKey("tip_racks.barcode"), primary_key=True),
    _key("well"),
    _text("key"),
    _seq(),
)

PLATES = Table(
    "plates",
    METADATA,
    _key("barcode"),
    Column("campaign", Text, ForeignKey("campaigns.campaign"), nullable=False),
    _integer("round"),
    _text("labware"),
    Column("layout_digest", Text),
    _seq(),
    CheckConstraint("round >= 0", name="round"),
    Index("ix_plates_campaign", "campaign", "round"),
)

WELLS = Table(
    "wells",
    METADATA,
    Column("plate", Text, ForeignKey("plates.barcode"), primary_key=True),
    _key("well"),
    _text("role"),
    Column("compound_id", Text),
    _integer("replicate"),
    Column("dose_um", Float, nullable=False),
    _text("reason"),
    _seq(),
    CheckConstraint("role IN ('sample', 'negative', 'positive', 'empty')", name="role"),
    CheckConstraint("(role = 'sample') = (compound_id IS NOT NULL)", name="compound_id"),
    CheckConstraint("replicate >= 0 AND dose_um >= 0", name="dose_um"),
    Index("ix_wells_compound_id", "compound_id"),
)

MEASUREMENTS = Table(
    "measurements",
    METADATA,
    Column("plate", Text, ForeignKey("plates.barcode"), primary_key=True),
    _key("digest"),  # of the step that measured; names its output folder
    _text("path"),  # relative to the lab folder
    _text("readout"),  # the folder of images measured, relative to the lab folder
    _integer("n_wells"),
    _integer("n_images"),
    _seq(),
    CheckConstraint("n_wells >= 0 AND n_images >= 0", name="counts"),
)

PREDICTIONS = Table(
    "predictions",
    METADATA,
    Column("campaign", Text, ForeignKey("campaigns.campaign"), primary_key=True),
    Column("round", Integer, primary_key=True, autoincrement=False),
    _key("compound_id"),
    Column("mean", Float, nullable=False),
    Column("spread", Float, nullable=False),
    Column("lower", Float, nullable=False),  # -inf where too little data calibrates it
    Column("upper", Float, nullable=False),
    Column("p_hit", Float, nullable=False),
    _flag("is_picked"),
    _seq(),
    CheckConstraint("spread >= 0", name="spread"),
    CheckConstraint("lower <= upper", name="interval"),
    CheckConstraint("p_hit >= 0 AND p_hit <= 1", name="p_hit"),
)

RESPONSES = Table(
    "responses",
    METADATA,
    Column("campaign", Text, ForeignKey("campaigns.campaign"), primary_key=True),
    Column("round", Integer, primary_key=True, autoincrement=False),
    _key("plate"),
    _key("well"),
    _text("role"),
    Column("compound_id", Text),
    Column("dose_um", Float, nullable=False),
    Column("activity", Float),
    Column("viability", Float),
    _text("flags"),  # reason codes joined by ;
    _flag("is_used"),
    _flag("is_hit"),
    _flag("is_toxic"),
    _seq(),
    ForeignKeyConstraint(["plate", "well"], ["wells.plate", "wells.well"]),
    # A hit that may not be used, or without a number, is a bug somewhere upstream.
    CheckConstraint("NOT is_hit OR (is_used AND activity IS NOT NULL)", name="is_hit"),
    Index("ix_responses_compound_id", "compound_id"),
)

RUNS = Table(
    "runs",
    METADATA,
    _key("key"),  # the device command's
    Column("campaign", Text, ForeignKey("campaigns.campaign"), nullable=False),
    _integer("round"),
    _text("plate"),
    _text("device"),
    _text("command"),
    Column("protocol_digest", Text),
    Column("load", Integer),
    _text("status"),
    _text("started_at"),
    _text("message"),
    _seq(),
    CheckConstraint("status IN ('done', 'failed')", name="status"),
    Index("ix_runs_campaign", "campaign", "round"),
)

INBOX = Table(
    "inbox",
    METADATA,
    # What operators told another process than the loop's; the loop takes it into the journal.
    Column("id", Integer, primary_key=True, autoincrement=True),
    _text("decision"),  # JSON
    Column("seq", BigInteger, ForeignKey("journal.seq")),  # of the event it became; NULL while it waits
)

NOTICES = Table(
    "notices",
    METADATA,
    # Messages to people (controller.notify). Not projected from an event: its sender writes it beside the journal.
    _key("id"),
    Column("event_seq", BigInteger, ForeignKey("journal.seq")),  # of the event it tells of; NULL: of none
    _text("kind"),
    _text("subject"),
    _integer("step"),  # of the escalation; 0: the first telling
    _text("channel"),
    _text("due_at"),
    _text("content"),  # JSON
    _text("state"),
    _integer("attempts"),
    _text("kept_at"),  # when it was put here, by the wall clock
    Column("told_at", Text),  # when it went out, by the wall clock
    _text("error"),  # of the last try; empty: none
    CheckConstraint("state IN ('waiting', 'sending', 'sent', 'given-up')", name="state"),
    CheckConstraint("step >= 0 AND attempts >= 0", name="counts"),
)
