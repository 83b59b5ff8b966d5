"""network: whole-image networks, trained on plates with a layout; embeddings as measurements."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from controller.cli.common import JsonOption, new_names, progress_bar, say

if TYPE_CHECKING:
    from controller.measuring import ReadoutRequest

FoldersArgument = Annotated[list[Path], typer.Argument(help="Folders of plates, one plate each.")]
ReaderOption = Annotated[str | None, typer.Option(help="Reader to use.", show_default="detected")]
PatternOption = Annotated[
    str | None,
    typer.Option(help="Regular expression for names of no known microscope: (?P<well>..), (?P<channel>..) .."),
]
RenameOption = Annotated[
    list[str] | None, typer.Option("--channel", help="Give a channel a name: 1=DNA; may be repeated.")
]
ThreadsOption = Annotated[int, typer.Option(min=1, max=256, help="Threads that decode and compute, of each process.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    network = typer.Typer(
        no_args_is_help=True, help="Whole-image networks: train on plates, turn fields into measurements."
    )
    for command in (train, embed, show):
        network.command()(command)
    app.add_typer(network, name="network")


def train(
    folders: FoldersArgument,
    layout: Annotated[Path, typer.Option(help="CSV: well, role, compound, dose ..; plate, where there are several.")],
    out: Annotated[Path, typer.Option(help="Folder of the trained network; must not exist.")],
    label: Annotated[
        str, typer.Option(help="Column to learn: treatment (compound and dose), compound, dose, role, or any other.")
    ] = "treatment",
    response: Annotated[bool, typer.Option("--response", help="The column (or columns: a,b) holds numbers.")] = False,
    channels: Annotated[str | None, typer.Option(help="Channels to see, joined by commas.", show_default="all")] = None,
    rename: RenameOption = None,
    downscale: Annotated[int, typer.Option(min=1, max=64, help="Average tiles of so many pixels a side.")] = 2,
    scaling: Annotated[
        str, typer.Option(help="plate: grey levels per plate and channel; image: each image alone.")
    ] = "plate",
    crop: Annotated[int | None, typer.Option(min=16, help="Side of the crops.", show_default="whole fields")] = None,
    epochs: Annotated[int, typer.Option(min=1)] = 60,
    batch: Annotated[int, typer.Option(min=1, help="Fields of one step and process.")] = 16,
    rate: Annotated[float, typer.Option(help="Learning rate of one process.")] = 1e-3,
    optimiser: Annotated[str, typer.Option(help="adamw or sgd.")] = "adamw",
    smoothing: Annotated[float, typer.Option(min=0, max=0.5, help="Label smoothing.")] = 0.0,
    precision: Annotated[str, typer.Option(help="auto, float32 or bfloat16.")] = "auto",
    coarse: Annotated[bool, typer.Option("--coarse", help="Drop the full-resolution branch: 3.5 x faster.")] = False,
    seed: Annotated[int, typer.Option()] = 1,
    reader: ReaderOption = None,
    pattern: PatternOption = None,
    threads: ThreadsOption = 2,
    as_json: JsonOption = False,
) -> None:
    """Train a network on whole fields, labelled by their wells.

    The same command goes on after an interruption, from the last finished epoch.

    Several GPUs or processes: torchrun --nproc-per-node 2 --no-python nextplate network train ...

    Example: nextplate network train /data/P1 --layout P1.csv --out models/p1 --downscale 2
    """
    from controller.networks import TrainRequest, need_torch, train_network

    need_torch()
    from nextplate.imaging.networks.schedule import TrainParams

    request = TrainRequest(
        readouts=tuple(_requests(folders, reader, pattern, rename)),
        layout=layout,
        labels=tuple(c.strip() for c in label.split(",")) if response else (label,),
        is_response=response,
        out=out,
        channels=None if channels is None else tuple(c.strip() for c in channels.split(",")),
        downscale=downscale,
        scaling=scaling,  # type: ignore[arg-type]  # pixel_scale refuses others
        has_full_resolution=not coarse,
        n_threads=threads,
    )
    params = TrainParams(
        epochs=epochs,
        batch_size=batch,
        learning_rate=rate,
        optimiser=optimiser,  # type: ignore[arg-type]  # TrainParams refuses others
        label_smoothing=smoothing,
        crop_px=crop,
        precision=precision,
        seed=seed,
    )
    with progress_bar("train", as_json) as progress:
        body = train_network(request, params, lambda record: progress(int(record["epoch"]), epochs))
    if body is not None:
        say(body, _trained_text(body), as_json)


def embed(
    folders: FoldersArgument,
    model: Annotated[Path, typer.Option(help="Folder of a trained network.")],
    out: Annotated[Path, typer.Option(help="Parquet file, a row per well; NAME-fields.parquet holds the fields.")],
    pixels: Annotated[
        Path | None, typer.Option(help="Keep decoded fields in this folder.", show_default="not kept")
    ] = None,
    rename: RenameOption = None,
    reader: ReaderOption = None,
    pattern: PatternOption = None,
    threads: ThreadsOption = 2,
    as_json: JsonOption = False,
) -> None:
    """Turn fields into measurements: Embedding_000 .. per field, and their mean per well.

    Example: nextplate network embed /data/P2 --model models/p1 --out measured/P2-embeddings.parquet
    """
    from controller.measuring import find_readout
    from controller.networks import embed_plates

    readouts = [find_readout(r) for r in _requests(folders, reader, pattern, rename)]
    body = embed_plates(readouts, model, out, pixels, threads)
    say(body, _embedded_text(body), as_json)


def show(
    model: Annotated[Path, typer.Argument(help="Folder of a trained network.")],
    as_json: JsonOption = False,
) -> None:
    """Say what a network sees, tells apart, and costs.

    Example: nextplate network show models/p1
    """
    from controller.networks import need_torch

    need_torch()
    from nextplate.imaging.networks.cost import forward_gflop, n_parameters
    from nextplate.imaging.networks.folder import load_network, read_card

    _, card = load_network(model)
    body = {
        **read_card(model),
        "parameters": n_parameters(card.shape),
        "gflop_per_megapixel": round(forward_gflop(card.shape, 1024, 1024) / 1.048576, 3),
    }
    say(body, _shown_text(body), as_json)


def _requests(
    folders: list[Path], reader: str | None, pattern: str | None, rename: list[str] | None
) -> "list[ReadoutRequest]":
    from controller.measuring import ReadoutRequest

    names = new_names(rename)
    return [ReadoutRequest(folder, reader, pattern, names=names) for folder in folders]


def _trained_text(body: Mapping[str, Any]) -> str:
    score = f"accuracy {body['accuracy']:.3f}" if "accuracy" in body else f"rmse {body['rmse']:.3f} (standardised)"
    return "\n".join(
        [
            f"trained on {body['fields']} fields, {len(body['names'])} outputs, {body['epoch']} epochs, "
            f"{body['processes']} process(es)",
            f"loss {body['loss']:.4f}, {score}, on the fields it was trained on",
            f"fields without a label: {body['fields_without_label']}; unusable: {len(body['fields_unusable'])}",
            *(f"  {p['plate']} {p['well']} field {p['field']}: {p['reason']}" for p in body["fields_unusable"]),
            f"{body['seconds']:.1f} s, written to {body['out']}",
        ]
    )


def _embedded_text(body: Mapping[str, Any]) -> str:
    return "\n".join(
        [
            f"{body['wells']} wells, {body['fields']} fields, {body['embedding']} numbers each",
            f"unusable fields: {len(body['fields_unusable'])}",
            *(f"  {p['plate']} {p['well']} field {p['field']}: {p['reason']}" for p in body["fields_unusable"]),
            f"{body['seconds']:.1f} s, written to {body['out']}",
        ]
    )


def _shown_text(body: Mapping[str, Any]) -> str:
    metrics = ", ".join(f"{k} {v:.4g}" for k, v in body["metrics"].items() if v is not None)
    return "\n".join(
        [
            f"{body['task']}: {', '.join(body['names'])}",
            f"channels {', '.join(body['channels'])}, downscale {body['downscale']}, scaling per {body['scaling']}",
            f"{body['parameters']:,} weights, {body['gflop_per_megapixel']} GFLOP per megapixel after downscaling",
            f"{metrics}; trained on {body['data_digest'][:12]}, nextplate {body['nextplate']}",
        ]
    )
