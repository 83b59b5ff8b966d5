"""Where a lab's database is."""

from pathlib import Path


def database_url(folder: Path, url: str) -> str:
    """Resolve a relative SQLite path against the lab folder."""
    prefix = "sqlite:///"
    if not url.startswith(prefix) or Path(url.removeprefix(prefix)).is_absolute():
        return url
    return f"{prefix}{folder.resolve() / url.removeprefix(prefix)}"
