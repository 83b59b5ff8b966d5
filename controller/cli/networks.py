"""network: whole-image networks, trained on plates with a layout; embeddings as measurements."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from controller.cli.common import JsonOption, finite, new_names, progress_bar, say

if TYPE_CHECKING:
    from controller.measuring import ReadoutRequest

DeviceOption = Annotated[str, typer.Option(help="auto (a GPU when there is one), cpu or cuda.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="Threads that decode, and that torch computes with on a CPU.")]
ReaderOption = Annotated[str | None, typer.Option(help="Reader of the plates' format.", show_default="detected")]
PatternOption = Annotated[
    str | None,
    typer.Option(help="Regular expression for names of no known microscope: (?P<well>..), (?P<channel>..) .."),
]
RenameOption = Annotated[
    list[str] | None, typer.Option("--channel", help="Give a channel a name: 1=DNA; may be repeated.")
]
EpochsOption = Annotated[int, typer.Option(min=1, help="Times every field is shown.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Fields per step and process.")]
BinningOption = Annotated[int, typer.Option(min=1, help="Pixels averaged along each side before the network.")]
RateOption = Annotated[
    float, typer.Option(callback=finite, help="Peak learning rate of one process; n processes take n times this.")
]
ScopeOption = Annotated[str, typer.Option(help="Scale pixels per plate or per image (as Godinez 2017).")]
HalfOption = Annotated[bool, typer.Option("--half", help="Leave the full-resolution branch out: 3.5 times faster.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    network = typer.Typer(no_args_is_help=True, help="Whole-image networks: train, embed, show.")
    network.command("train")(network_train)
    network.command("embed")(network_embed)
    network.command("show")(network_show)
    app.add_typer(network, name="network")


def network_train(
    plates: Annotated[list[Path], typer.Argument(help="Folders of plate images.")],
    layout: Annotated[Path, typer.Option(help="CSV with well, perhaps plate, and the label's column.")],
    out: Annotated[Path, typer.Option(help="Folder of the network; must not exist.")],
    label: Annotated[
        str,
        typer.Option(
            help="Column to learn: treatment (compound and dose), compound, dose, role or any other; several: a+b."
        ),
    ] = "treatment",
    response: Annotated[
        bool, typer.Option("--response", help="The label is a number to predict, not a class.")
    ] = False,
    channels: Annotated[str, typer.Option(help="Channels joined by commas.", show_default="all")] = "",
    binning: BinningOption = 2,
    held_out: Annotated[
        float, typer.Option(callback=finite, help="Share of the wells that judges and is not trained on.")
    ] = 0.2,
    epochs: EpochsOption = 60,
    batch: BatchOption = 16,
    optimiser: Annotated[str, typer.Option(help="adamw, or sgd (as Godinez 2017).")] = "adamw",
    learning_rate: RateOption = 1e-3,
    label_smoothing: Annotated[float, typer.Option(min=0.0, max=0.9, callback=finite)] = 0.0,
    crop: Annotated[int, typer.Option(min=0, help="Side of random crops in binned pixels; 0: whole fields.")] = 0,
    scope: ScopeOption = "plate",
    half: HalfOption = False,
    hidden: Annotated[
        int, typer.Option(min=0, help="Length of the embedding; 0: that of the grid's mean, 1024.")
    ] = 512,
    seed: Annotated[int, typer.Option(min=0)] = 1,
    rename: RenameOption = None,
    reader: ReaderOption = None,
    pattern: PatternOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 2,
    max_gib: Annotated[float, typer.Option(callback=finite, help="Largest cache of decoded fields.")] = 64.0,
    as_json: JsonOption = False,
) -> None:
    """Train a whole-image network on wells labelled by a layout. Stopped, the same command goes on.

    Example: nextplate network train plates/P1 --layout layout.csv --label treatment --out models/net

    Several processes or GPUs: torchrun --nproc-per-node 2 --no-python nextplate network train ...
    """
    from controller.networks import TrainRequest, need_torch, run_train, train_text

    need_torch()
    from nextplate.imaging.networks.augmentation import Augmentation
    from nextplate.imaging.networks.normalisation import Normalisation
    from nextplate.imaging.networks.recipe import Recipe

    request = TrainRequest(
        plates=tuple(_requests(plates, reader, pattern, rename)),
        layout=layout,
        label=label,
        is_response=response,
        out=out,
        channels=tuple(c.strip() for c in channels.split(",") if c.strip()),
        binning=binning,
        held_out=held_out,
        recipe=Recipe(
            n_epochs=epochs,
            batch=batch,
            optimiser=optimiser,  # type: ignore[arg-type]  # checked by the recipe
            learning_rate=learning_rate,
            label_smoothing=label_smoothing,
            augmentation=Augmentation(crop_px=crop or None),
            seed=seed,
        ),
        normalisation=Normalisation(scope),  # type: ignore[arg-type]  # checked there
        hidden=hidden,
        first_branch=int(half),
        device=device,
        n_threads=threads,
        max_gib=max_gib,
    )
    with progress_bar("train", as_json or not _is_first()) as progress:
        body = run_train(request, progress)
    if _is_first():
        say(body, train_text(body), as_json)


def _requests(
    folders: list[Path], reader: str | None, pattern: str | None, rename: list[str] | None
) -> "list[ReadoutRequest]":
    from controller.measuring import ReadoutRequest

    names = new_names(rename)
    return [ReadoutRequest(folder, reader, pattern, names=names) for folder in folders]


def _is_first() -> bool:
    """Tell whether this process speaks: among torchrun's, the first."""
    import os

    return os.environ.get("RANK", "0") == "0"


def network_embed(
    plates: Annotated[list[Path], typer.Argument(help="Folders of plate images.")],
    network: Annotated[Path, typer.Option(help="Folder of a trained network.")],
    out: Annotated[Path, typer.Option(help="Parquet file of the wells; fields go to NAME.fields.parquet.")],
    batch: BatchOption = 8,
    rename: RenameOption = None,
    reader: ReaderOption = None,
    pattern: PatternOption = None,
    device: DeviceOption = "auto",
    threads: ThreadsOption = 2,
    as_json: JsonOption = False,
) -> None:
    """Turn plates into embeddings: Embedding_000 .. per field and per well.

    Example: nextplate network embed plates/P1 --network models/net --out P1.parquet
    """
    from controller.networks import embed_text, run_embed

    with progress_bar("embed", as_json) as progress:
        requests = _requests(plates, reader, pattern, rename)
        body = run_embed(requests, network, out, device=device, n_threads=threads, batch=batch, progress=progress)
    say(body, embed_text(body), as_json)


def network_show(
    network: Annotated[Path, typer.Argument(help="Folder of a trained network.")], as_json: JsonOption = False
) -> None:
    """Tell what a network was trained on, and how well it did on wells held out.

    Example: nextplate network show models/net
    """
    from controller.networks import need_torch, show_text

    need_torch()
    from nextplate.imaging.networks.network import read_card

    card = read_card(network)
    say(card, show_text(card), as_json)
