"""moa: do profiles tell mechanisms of action? The BBBC021 protocol on a user's own copy."""

from pathlib import Path
from typing import Annotated

import typer

from controller.cli.common import JsonOption, finite, progress_bar, say


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(moa)


def moa(
    folder: Annotated[
        Path, typer.Argument(metavar="BBBC021_FOLDER", help="Holds the three BBBC021_v1 tables and the images.")
    ],
    profiles: Annotated[
        Path | None,
        typer.Option(
            help="Table of wells (plate, well, numbers; .parquet or .csv), e.g. a network's embeddings.",
            show_default="measure the images",
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="A classifier's answers: plate, well, field, split, true, predicted. Alone: only these."),
    ] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train networks on the images under three splits and judge only them.")
    ] = False,
    folds: Annotated[int, typer.Option(min=2, help="With --train: parts of the images or compounds.")] = 5,
    epochs: Annotated[int, typer.Option(min=1, help="With --train: times every field is shown.")] = 60,
    batch: Annotated[int, typer.Option(min=1, help="With --train: fields per step.")] = 32,
    binning: Annotated[int, typer.Option(min=1, help="With --train: pixels averaged along each side.")] = 4,
    half: Annotated[bool, typer.Option("--half", help="With --train: without full resolution, 3.5 x faster.")] = False,
    features: Annotated[str, typer.Option(help="basic, all, or groups, as in measure.")] = "all",
    objects: Annotated[
        str, typer.Option(help="Whose features: nuclei, cells, cytoplasm; joined by commas.")
    ] = "nuclei,cells",
    normalise: Annotated[
        str, typer.Option(help="robust: per plate on its DMSO wells. sphere: whitened on all DMSO wells besides.")
    ] = "robust",
    all_wells: Annotated[
        bool, typer.Option("--all-wells", help="Measure wells too that are neither DMSO nor annotated.")
    ] = False,
    pixel_um: Annotated[
        float | None,
        typer.Option(min=0.001, callback=finite, help="Pixel size.", show_default="unknown: sizes from the images"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the numbers.")] = Path("moa"),
    threads: Annotated[int, typer.Option(min=1, max=64)] = 2,
    as_json: JsonOption = False,
) -> None:
    """Score mechanisms of action on a copy of BBBC021: 1 nearest neighbour, NSC and NSCB, with intervals.

    The same command goes on after an interruption: finished wells are not measured again.

    Example: nextplate moa /data/BBBC021 --features all --normalise sphere --out moa
    """
    from controller.moa import MoaRequest, run_moa
    from controller.moa_report import moa_text
    from nextplate.assay.moa_profiles import normalisation_of
    from nextplate.features import parse_features
    from nextplate.imaging import MeasureParams
    from nextplate.imaging.bbbc021_tables import CHANNELS

    choice, has_field = parse_features(features)
    params = MeasureParams(
        dna=CHANNELS[0],
        reporter=None,
        others=CHANNELS[1:],
        pixel_size_um=pixel_um,
        features=choice,
        objects=tuple(o.strip().capitalize() for o in objects.split(",")),
        has_field_features=has_field,
    )
    training = None
    if train:
        from controller.moa_training import TrainChoice
        from controller.networks import need_torch

        need_torch()
        from nextplate.imaging.networks.recipe import Recipe

        training = TrainChoice(Recipe(n_epochs=epochs, batch=batch), folds, binning, half)
    request = MoaRequest(
        folder, out, params, profiles, predictions, training, normalisation_of(normalise), all_wells, threads
    )
    with progress_bar("train" if train else "measure", as_json) as progress:
        body = run_moa(request, progress)
    say(body, moa_text(body), as_json)
