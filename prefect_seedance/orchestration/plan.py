"""Plan the clips of a storyboard, for programs and flows that make them step by step."""

from prefect_seedance.api.addresses import PUBLIC_HOSTS
from prefect_seedance.api.credentials import Credentials
from prefect_seedance.api.models import DEFAULT_MODEL
from prefect_seedance.options import Loading
from prefect_seedance.orchestration.blocks import open_archive
from prefect_seedance.storyboard.loader import Source, load_storyboard
from prefect_seedance.storyboard.parser import ParsedStoryboard
from prefect_seedance.storyboard.plan import Plan
from prefect_seedance.storyboard.plan import plan as number_clips


async def plan(
    storyboard: Source | ParsedStoryboard,
    *,
    credentials: Credentials | None = None,
    name: str = "",
    loading: Loading = Loading(),
) -> Plan:
    """Load a storyboard, and return its clips in order. It needs no account and spends nothing.

    Pass each clip to `submit_clip`, which finds out whether it was bought before.

    Args:
        storyboard: As `produce` accepts it: a file's path or URL, a folder of images, a `Storyboard` or
            `ClipList`, a dict of the same form, or the result of `load_storyboard`.
        credentials: The account that will pay, if it has a model or allowed hosts of its own.
        name: Name of the production. Default: the storyboard's title.
        loading: How to load the storyboard.

    Raises:
        StoryboardError: If the storyboard has mistakes.
        SetupError: If it was loaded for another model, or its store cannot be opened.
    """
    model = credentials.model if credentials else DEFAULT_MODEL
    parsed = await load_storyboard(
        storyboard,
        model=model,
        defaults=loading.defaults,
        allow_outside=loading.allow_outside,
        policy=credentials.host_policy if credentials else PUBLIC_HOSTS,
        opener=open_archive,
    )
    return number_clips(parsed.clips, title=parsed.title, name=name, model=model)
