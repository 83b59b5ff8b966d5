"""Every error nextplate raises on purpose, in one tree.

::

    NextplateError            anything below; str(error) is the message an operator reads
    ├── DataError             a file or table holds something wrong (says file, line or well, and the fix)
    │   └── SettingsError     lab.toml: file, key, the value found, the values allowed
    ├── PlanError             what was asked for cannot be planned: stock, wells, deck, tips
    ├── ModelError            a belief cannot be fitted or used
    │   └── ModelFileError    a belief's folder is damaged, altered or not one (a DataError too: exit code 2)
    ├── StoreError            the database
    │   ├── SchemaMismatch    written by another schema version; says which command upgrades it
    │   ├── JournalBroken     the hash chain does not hold
    │   ├── StoreAway         its server cannot be reached; it may come back
    │   └── LabBusy           another process works on this lab
    ├── StepError             a computing step failed in its worker process
    ├── DiskFull              no room left; nothing half-written stays
    └── DeviceError           a device refused or failed
        ├── Transient         no answer, or not now: the device may have the key or not; lookup(key) tells
        └── NeedsOperator     refused, nothing moved; a person has to look
"""


class NextplateError(Exception):
    """Base of every error raised on purpose; its text says what was found, where, and what to do."""


class DataError(NextplateError):
    """A file or table holds something that cannot be used."""


class SettingsError(DataError):
    """A value in lab.toml is not allowed."""


class PlanError(NextplateError):
    """The plan asked for cannot be carried out with what the lab has."""


class ModelError(NextplateError):
    """A belief cannot be fitted, loaded or used."""


class ModelFileError(ModelError, DataError):
    """The folder of a belief is damaged, altered, foreign, or of a later format."""


class StoreError(NextplateError):
    """The database cannot be used."""


class SchemaMismatch(StoreError):
    """The database was written by another schema version."""


class JournalBroken(StoreError):
    """The journal's hash chain does not hold."""


class StoreAway(StoreError):
    """The database's server cannot be reached; it may come back, and nothing was written."""


class LabBusy(StoreError):
    """Another process works on this lab."""


class StepError(NextplateError):
    """A computing step failed in its worker."""


class DiskFull(NextplateError):
    """The disk is full; what was being written has been removed."""


class DeviceError(NextplateError):
    """A device refused a command or failed."""


class Transient(DeviceError):
    """No answer, or not now: the device may have the command or not; ask it, then hand over under the same key."""


class NeedsOperator(DeviceError):
    """The device refused the command and moved nothing; a person has to look at it."""
