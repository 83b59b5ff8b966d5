"""Which folders are packages. All else about the distribution stands in pyproject.toml.

alembic/ has no __init__.py in the tree, where it would shadow the library of that name; in the wheel it is the
package controller.migrations. pyproject.toml cannot say "the packages found, and this folder under that name".
"""

from setuptools import find_namespace_packages, setup

ROOMS = ("controller", "drivers", "protocols", "sim")
NO_PACKAGES = ("*.__pycache__", "*.__pycache__.*")

setup(
    packages=[
        *find_namespace_packages("src", include=("nextplate", "nextplate.*"), exclude=NO_PACKAGES),
        *find_namespace_packages(".", include=[n for r in ROOMS for n in (r, f"{r}.*")], exclude=NO_PACKAGES),
        "controller.migrations",
        "controller.migrations.versions",
    ],
    package_dir={"nextplate": "src/nextplate", "controller.migrations": "alembic"},
)
