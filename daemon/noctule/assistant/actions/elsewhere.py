"""The time of other places: the zone database's cities, and those that people name besides."""

from __future__ import annotations

from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from noctule.assistant.actions.registry import ActionRegistry, Call, Result
from noctule.assistant.phrases.moments import local
from noctule.core.clock import Clock
from noctule.core.errors import InputError

_REGIONS = frozenset(
    {"Africa", "America", "Antarctica", "Asia", "Atlantic", "Australia", "Europe", "Indian", "Pacific"}
)
#: Cities and one-zone countries by the city of their zone.
_ALSO = {
    "New_York": "new york city|nyc|boston|miami|washington|washington dc|philadelphia|atlanta|orlando|baltimore"
    "|pittsburgh|cleveland|akron|charlotte",
    "Chicago": "dallas|houston|austin|san antonio|new orleans|minneapolis|nashville|memphis|st louis|milwaukee",
    "Denver": "salt lake city|albuquerque|colorado springs",
    "Los_Angeles": "san francisco|seattle|las vegas|portland|san diego|sacramento|california|san jose|oakland",
    "Toronto": "ottawa|montreal",
    "Vancouver": "victoria",
    "Edmonton": "calgary",
    "Kolkata": "india|delhi|new delhi|mumbai|bombay|chennai|bangalore|bengaluru|hyderabad|calcutta|pune",
    "Shanghai": "china|beijing|shenzhen|guangzhou",
    "Tokyo": "japan|osaka|kyoto",
    "Seoul": "south korea|korea",
    "London": "england|britain|the uk|uk|united kingdom|great britain|manchester|liverpool|edinburgh|scotland|wales",
    "Berlin": "germany|munich|hamburg|frankfurt|cologne",
    "Paris": "france|lyon|marseille",
    "Rome": "italy|milan|venice|florence|naples",
    "Madrid": "barcelona",
    "Amsterdam": "the netherlands|netherlands|holland",
    "Zurich": "switzerland|geneva|basel",
    "Vienna": "austria",
    "Dubai": "abu dhabi|the united arab emirates|uae",
    "Karachi": "pakistan|lahore|islamabad",
    "Manila": "the philippines|philippines",
    "Bangkok": "thailand",
    "Ho_Chi_Minh": "vietnam|hanoi|saigon|ho chi minh city",
    "Istanbul": "turkey",
    "Cairo": "egypt",
    "Johannesburg": "south africa|cape town",
    "Auckland": "new zealand|wellington",
    "Athens": "greece",
    "Dublin": "ireland",
    "Honolulu": "hawaii",
    "Phoenix": "arizona",
}


@lru_cache(1)
def _zones() -> dict[str, str]:
    zones: dict[str, str] = {}
    by_city: dict[str, str] = {}
    for zone in sorted(available_timezones()):
        parts = zone.split("/")
        if parts[0] in _REGIONS and len(parts) > 1:
            by_city.setdefault(parts[-1], zone)
            zones.setdefault(parts[-1].replace("_", " ").replace("-", " ").casefold(), zone)
    for city, names in _ALSO.items():
        for name in names.split("|") if city in by_city else ():
            zones[name] = by_city[city]
    return zones


def zone_of(place: str) -> str | None:
    """The zone of a place by its name, also followed by what it lies in ("phoenix az"); None for an unknown one."""
    words = place.casefold().removeprefix("the city of ").split()
    for end in (len(words), len(words) - 1):
        found = _zones().get(" ".join(words[:end])) if end > 0 else None
        if found is not None:
            return found
    return None


def bind_elsewhere(registry: ActionRegistry, clock: Clock) -> None:
    """Bind time.elsewhere."""

    def tell(call: Call) -> Result:
        place = call.arguments["place"].text
        zone = zone_of(place)
        try:
            now = local(clock.wall(), ZoneInfo(zone)) if zone is not None else None
        except ZoneInfoNotFoundError:
            now = None
        if now is None:
            raise InputError(f"I do not know where {place} is.")
        text = f"In {place.title()} it is {now.hour}:{now.minute:02d}"
        return Result({"time": text}, {"zone": zone, "time": now.strftime("%H:%M:%S")})

    registry.bind("time.elsewhere", lambda call, request: tell(call))
