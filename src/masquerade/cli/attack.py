"""`masquerade attack`: try to undo an anonymization, and say how far one gets."""

import json
from pathlib import Path
from typing import Annotated

import typer


def attack_command(
    recipe: Annotated[str, typer.Argument(help="attack-compact, attack-quick, attack-facedancer, or a TOML file.")],
    data: Annotated[Path, typer.Option(help="Folder of the training archives.")],
    teachers: Annotated[Path, typer.Option(help="Folder of the recognisers that the adversary learns with.")],
    work: Annotated[Path, typer.Option(help="Folder for caches, logs and checkpoints.")] = Path("runs"),
    swapper: Annotated[
        Path | None, typer.Option(help="Whom to attack: an exported swapper or a run's checkpoint.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare batches.")] = 1,
    start: Annotated[
        Path | None, typer.Option(help="What a new attack begins with: the folder of another one's run.")
    ] = None,
) -> None:
    """Train a reconstruction attack from pairs alone, and judge it on people it never saw.

    On a GPU if there is one. Run it again to go on where it was stopped; a finished attack is judged anew.
    """
    # Torch is heavy and an extra: only this command and `train` need it.
    from masquerade.errors import OptionError  # noqa: PLC0415
    from masquerade.train.attack import OUTCOME, from_json, table, train_attack  # noqa: PLC0415
    from masquerade.train.recipe import AttackRecipe, read_recipe  # noqa: PLC0415

    read = read_recipe(recipe)
    if not isinstance(read, AttackRecipe):
        raise OptionError(f"{recipe} trains no attack", hint="Use masquerade train")
    train_attack(read, data=data, teachers=teachers, work=work, workers=workers, start=start, swapper=swapper)
    folder = work / read.name
    typer.echo(table(from_json(json.loads((folder / OUTCOME).read_text()))))
    typer.echo(f"\nOriginals, anonymized, reconstructed: {folder / 'triplets.png'}")
