"""``vfm recipes``: which recipes there are, the numbers of one, and in which two differ."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from vfm.cli.display import output
from vfm.cli.display.next_step import say_next
from vfm.cli.display.text import printable
from vfm.cli.options import shared

if TYPE_CHECKING:
    from vfm.trainer.recipes.recipe import Recipe


@click.group(invoke_without_command=True)
@shared.as_json()
@click.pass_context
def command(context: click.Context, as_json: bool) -> None:
    """List the recipes, show the numbers of one, or compare two.

    \b
    Examples:
      vfm recipes
      vfm recipes show vimpac-tiny
      vfm recipes show vimpac-tiny --set optim.lr=1e-4 --json
      vfm recipes show umt-base --yaml > mine.yaml
      vfm recipes compare umt-base umt-large
    """
    if context.invoked_subcommand is not None:
        return
    from vfm.trainer.registry import load_recipe, recipe_names

    recipes = [load_recipe(name) for name in recipe_names()]
    header = ("recipe", "method", "task", "epochs", "batch", "lr")
    rows = [
        (r.name, r.method, r.task or "pretrain", r.train.epochs, r.train.batch_size, r.optim.lr)
        for r in recipes
    ]
    if as_json:
        output.show_json([dict(zip(header, row, strict=True)) for row in rows])
    else:
        output.show(output.table(header, rows))
    say_next("recipes", "show", "NAME")


@command.command()
@click.argument("name")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change one number; may be repeated."
)
@click.option(
    "--yaml", "as_yaml", is_flag=True, help="Print it as a file to edit, each key below what it means."
)
@click.option(
    "--size", "with_size", is_flag=True, help="Count parameters, and FLOPs of a clip; takes some seconds."
)
@shared.as_json()
def show(name: str, settings: tuple[str, ...], as_json: bool, as_yaml: bool, with_size: bool) -> None:
    """Show every number of the recipe NAME under the key that --set takes.

    NAME may be a file that ends with .yaml, as --yaml prints it. `vfm pretrain` and `vfm finetune --recipe`
    take such a file, too. It holds every key.

    \b
    Examples:
      vfm recipes show vimpac-tiny --set train.epochs=50
      vfm recipes show umt-base --size
      vfm recipes show umt-base --yaml > mine.yaml
    """
    from vfm.trainer.recipes.requirements import requirements_of
    from vfm.trainer.recipes.settings import flatten, override, to_dict
    from vfm.trainer.recipes.values import written
    from vfm.trainer.registry import open_recipe

    if as_json and (as_yaml or with_size):
        raise click.UsageError("--json gives the numbers alone: leave out --yaml and --size.")
    recipe = override(open_recipe(name), settings)
    if as_json:
        output.show_json(to_dict(recipe))
    elif as_yaml:
        name = "FILE.yaml"
        click.echo(_as_file(recipe, settings), nl=False)
    else:
        rows = [(key, written(value)) for key, value in flatten(recipe).items()]
        output.show(output.table(("key", "value"), rows))
        output.show(f"\nIt is made for {requirements_of(recipe)}.")
        if with_size:
            output.show(_size(recipe))
    say_next(*_way_to_run(recipe, name))


def _as_file(recipe: "Recipe", settings: Sequence[str]) -> str:
    from vfm import __version__
    from vfm.trainer.recipes.requirements import requirements_of
    from vfm.trainer.recipes.yaml.writer import to_yaml

    changed = f", with {', '.join(settings)}" if settings else ""
    command = " ".join(["vfm", *_way_to_run(recipe, "FILE.yaml")])
    head = (
        f"The recipe {recipe.name} of vfm {__version__}{changed}.",
        f"It is made for {requirements_of(recipe)}.",
        _size(recipe),
        f"Change values and the name as you like, and keep every key: {command}",
    )
    return to_yaml(recipe, head=[printable(paragraph) for paragraph in head])


def _size(recipe: "Recipe") -> str:
    from vfm.trainer.weights.size import size_of

    return str(size_of(recipe))


def _way_to_run(recipe: "Recipe", name: str) -> tuple[str, ...]:
    if recipe.task is None:
        return ("pretrain", name, "DATA", "--out", "RUN")
    return ("finetune", recipe.task, "DATA", "--init", "RUN", "--recipe", name, "--out", "NEW_RUN")


@command.command()
@click.argument("one")
@click.argument("other")
@shared.as_json()
def compare(one: str, other: str, as_json: bool) -> None:
    """Show the numbers in which the recipes ONE and OTHER differ; "-" stands where a recipe has no such key.

    Either may be a file that ends with .yaml; see `vfm recipes show --help`.

    \b
    Examples:
      vfm recipes compare umt-base umt-large
      vfm recipes compare umt-base mine.yaml
      vfm recipes compare umt-base-classify-mit umt-base-classify-mit-384 --json | jq .
    """
    from vfm.trainer.recipes.settings import compared, flatten
    from vfm.trainer.recipes.values import written
    from vfm.trainer.registry import open_recipe

    recipes = open_recipe(one), open_recipe(other)
    sides = [flatten(recipe) for recipe in recipes]
    keys = [key for key in compared(*recipes) if key != "name"]
    if as_json:
        named = list(zip((one, other), sides, strict=True))
        output.show_json(
            [{"key": key, **{name: side[key] for name, side in named if key in side}} for key in keys]
        )
    elif keys:
        rows = [(key, *(written(side[key]) if key in side else "-" for side in sides)) for key in keys]
        output.show(output.table(("key", one, other), rows))
    else:
        output.show(f"{one} and {other} have the same numbers.")
    say_next("recipes", "show", other)
