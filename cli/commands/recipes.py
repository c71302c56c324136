"""``vfm recipes``: which recipes there are, the numbers of one, and in which two differ."""

import click

from vfm.cli.display import output
from vfm.cli.display.next_step import say_next
from vfm.cli.options import shared


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
@shared.as_json()
def show(name: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Show every number of the recipe NAME under the key that --set takes.

    \b
    Example:
      vfm recipes show vimpac-tiny --set train.epochs=50
    """
    from vfm.trainer.recipes.requirements import requirements_of
    from vfm.trainer.recipes.settings import flatten, override, to_dict
    from vfm.trainer.recipes.values import written
    from vfm.trainer.registry import load_recipe

    recipe = override(load_recipe(name), settings)
    if as_json:
        output.show_json(to_dict(recipe))
    else:
        rows = [(key, written(value)) for key, value in flatten(recipe).items()]
        output.show(output.table(("key", "value"), rows))
        output.show(f"\nIt is made for {requirements_of(recipe)}.")
    if recipe.task is None:
        say_next("pretrain", name, "DATA", "--out", "RUN")
    else:
        say_next("finetune", recipe.task, "DATA", "--init", "RUN", "--recipe", name, "--out", "NEW_RUN")


@command.command()
@click.argument("one")
@click.argument("other")
@shared.as_json()
def compare(one: str, other: str, as_json: bool) -> None:
    """Show the numbers in which the recipes ONE and OTHER differ; "-" stands where a recipe has no such key.

    \b
    Examples:
      vfm recipes compare umt-base umt-large
      vfm recipes compare umt-base-classify-mit umt-base-classify-mit-384 --json | jq .
    """
    from vfm.trainer.recipes.settings import compared, flatten
    from vfm.trainer.recipes.values import written
    from vfm.trainer.registry import load_recipe

    recipes = load_recipe(one), load_recipe(other)
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
