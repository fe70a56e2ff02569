"""What a person does on the page, and what the viewer shows them."""

import re

from playwright.sync_api import Page, expect

__all__ = ["click_slide", "drag_slide", "opened", "pane", "to_screen", "viewer"]

_VIEW = """(index) => {
  const element = document.querySelectorAll(".pane-view")[index];
  const { viewport, world } = OpenSeadragon.getViewer(element);
  const size = world.getItemAt(0).getContentSize();
  const centre = viewport.getCenter(true);
  const zoom = viewport.viewportToImageZoom(viewport.getZoom(true));
  return { x: centre.x * size.x, y: centre.y * size.x, zoom };
}"""


def opened(page: Page, index: int = 0) -> None:
    """Wait until a pane's slide is there, and stands still."""
    expect(page.locator(".pane-view").nth(index).locator(".scale-bar")).to_have_attribute(
        "aria-label", re.compile("×|unknown")
    )
    page.wait_for_function(
        """(index) => {
          const element = document.querySelectorAll(".pane-view")[index];
          const viewer = element && OpenSeadragon.getViewer(element);
          return viewer && viewer.isOpen() && viewer.world.getItemAt(0).getFullyLoaded();
        }""",
        arg=index,
    )


def viewer(page: Page, index: int = 0) -> dict[str, float]:
    """Centre (level-0 px) and zoom (CSS px a level-0 px) of a pane."""
    view: dict[str, float] = page.evaluate(_VIEW, index)
    return view


def pane(page: Page, index: int = 0) -> dict[str, float]:
    box = page.locator(".pane-view").nth(index).bounding_box()
    assert box is not None
    return dict(box)


def to_screen(page: Page, x: float, y: float, index: int = 0) -> tuple[float, float]:
    """Where a level-0 pixel stands in the window."""
    view, box = viewer(page, index), pane(page, index)
    return (
        box["x"] + box["width"] / 2 + (x - view["x"]) * view["zoom"],
        box["y"] + box["height"] / 2 + (y - view["y"]) * view["zoom"],
    )


def click_slide(page: Page, x: float, y: float, index: int = 0) -> None:
    """Click on a level-0 pixel."""
    page.mouse.click(*to_screen(page, x, y, index))


def drag_slide(page: Page, *points: tuple[float, float], index: int = 0) -> None:
    """Press at the first level-0 pixel, move over the others, let go."""
    places = [to_screen(page, x, y, index) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=4)
    page.mouse.up()
