"""What a good layout is, as numbers: shared by the solver that looks for one and the check that judges one.

A control that sits in one corner measures the corner. Controls are therefore spread so that every row, column and
quadrant holds the same number give or take one, the plate's edge gets its share, and no two of a role touch.
Replicates of a compound never share a row or a column (pipetting and incubator gradients run along them) and keep
a distance.
"""

from collections.abc import Iterator

from nextplate.plate import PlateFormat


def is_edge(well: int, plate_format: PlateFormat) -> bool:
    """Tell whether a well, counted row by row from 0, lies on the plate's rim."""
    row, column = divmod(well, plate_format.n_columns)
    return row in (0, plate_format.n_rows - 1) or column in (0, plate_format.n_columns - 1)


def n_edge_wells(plate_format: PlateFormat) -> int:
    """Count the wells on the rim."""
    return 2 * (plate_format.n_rows + plate_format.n_columns) - 4


def edge_range(n_wells: int, plate_format: PlateFormat) -> tuple[int, int]:
    """Return how few and how many of n control wells may lie on the rim.

    Their proportional share rounded down and up; from two wells on, both rim and interior get at least one.
    """
    low, rest = divmod(n_wells * n_edge_wells(plate_format), plate_format.n_wells)
    high = low + (rest > 0)
    if n_wells < 2:
        return low, high
    return max(low, 1), min(max(high, 1), n_wells - 1)


def balanced_range(n_wells: int, n_parts: int) -> tuple[int, int]:
    """Return how few and how many of n wells one of equal parts may hold: counts differ by at most one."""
    return n_wells // n_parts, -(-n_wells // n_parts)


def rows(plate_format: PlateFormat) -> list[list[int]]:
    """Return the wells of every row."""
    width = plate_format.n_columns
    return [list(range(row * width, (row + 1) * width)) for row in range(plate_format.n_rows)]


def columns(plate_format: PlateFormat) -> list[list[int]]:
    """Return the wells of every column."""
    return [list(range(c, plate_format.n_wells, plate_format.n_columns)) for c in range(plate_format.n_columns)]


def quadrants(plate_format: PlateFormat) -> list[list[int]]:
    """Return the wells of the four quarters of the plate."""
    parts: list[list[int]] = [[], [], [], []]
    for well in range(plate_format.n_wells):
        row, column = divmod(well, plate_format.n_columns)
        parts[2 * (row >= plate_format.n_rows // 2) + (column >= plate_format.n_columns // 2)].append(well)
    return parts


def squares(plate_format: PlateFormat) -> Iterator[list[int]]:
    """Yield every 2 by 2 block: two wells touch, also by a corner, exactly when a block holds both."""
    width = plate_format.n_columns
    for row in range(plate_format.n_rows - 1):
        for column in range(width - 1):
            corner = row * width + column
            yield [corner, corner + 1, corner + width, corner + width + 1]


def max_not_touching(plate_format: PlateFormat) -> int:
    """Return the largest number of wells of which no two touch."""
    return -(-plate_format.n_rows // 2) * -(-plate_format.n_columns // 2)


def replicate_distance(n_replicates: int, plate_format: PlateFormat) -> int:
    """Return the least number of steps (rows plus columns) between two replicates of one compound."""
    return (plate_format.n_rows + plate_format.n_columns) // (2 * max(n_replicates, 1))


def steps(one: int, other: int, plate_format: PlateFormat) -> int:
    """Count rows plus columns between two wells."""
    (row, column), (row2, column2) = divmod(one, plate_format.n_columns), divmod(other, plate_format.n_columns)
    return abs(row - row2) + abs(column - column2)
