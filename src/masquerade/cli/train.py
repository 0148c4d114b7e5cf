"""`masquerade train`: make the weights."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(help="A packaged recipe's name, or a TOML file.")],
    data: Annotated[Path, typer.Option(help="Folder of the training archives.")],
    teachers: Annotated[Path, typer.Option(help="Folder of the networks to learn from.")],
    work: Annotated[Path, typer.Option(help="Folder for caches, logs and checkpoints.")] = Path("runs"),
    workers: Annotated[int, typer.Option(min=0, help="Processes that prepare batches.")] = 1,
    start: Annotated[
        Path | None,
        typer.Option(help="What a new run begins with: exported weights or, but for encoders, another's checkpoint."),
    ] = None,
    swapper: Annotated[
        Path | None, typer.Option(help="What an attack is trained against: an exported swapper or a run's checkpoint.")
    ] = None,
) -> None:
    """Train the network of a recipe, on a GPU if there is one. Run it again to go on where it was stopped."""
    # Torch is heavy and an extra: only this command needs it.
    from masquerade.train import processes  # noqa: PLC0415
    from masquerade.train.aligner import train_aligner  # noqa: PLC0415
    from masquerade.train.attack import train_attack  # noqa: PLC0415
    from masquerade.train.encoder import train_encoder  # noqa: PLC0415
    from masquerade.train.expression import train_expression  # noqa: PLC0415
    from masquerade.train.expression_ablation import train_affectnet  # noqa: PLC0415
    from masquerade.train.recipe import (  # noqa: PLC0415
        AffectNetRecipe,
        AlignerRecipe,
        AttackRecipe,
        EncoderRecipe,
        ExpressionRecipe,
        UpscalerRecipe,
        read_recipe,
    )
    from masquerade.train.swapper import train_swapper  # noqa: PLC0415
    from masquerade.train.upscaler import train_upscaler  # noqa: PLC0415

    read = read_recipe(recipe)
    with processes.together():
        if isinstance(read, EncoderRecipe):
            train_encoder(read, data=data, teachers=teachers, work=work, workers=workers, start=start)
        elif isinstance(read, ExpressionRecipe):
            train_expression(read, data=data, teachers=teachers, work=work, workers=workers, start=start)
        elif isinstance(read, AffectNetRecipe):
            train_affectnet(read, data=data, work=work, workers=workers)
        elif isinstance(read, UpscalerRecipe):
            train_upscaler(read, data=data, work=work, workers=workers, start=start)
        elif isinstance(read, AlignerRecipe):
            train_aligner(read, data=data, work=work, workers=workers)
        elif isinstance(read, AttackRecipe):
            train_attack(read, data=data, teachers=teachers, work=work, workers=workers, start=start, swapper=swapper)
        else:
            train_swapper(read, data=data, teachers=teachers, work=work, workers=workers, start=start)
