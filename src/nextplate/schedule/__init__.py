"""When each plate is where: timed schedules of many plates on shared stations, carried by one arm.

::

    shop = Shop(stations, arm)          what there is
    work = [Route(...), ...]            what each plate goes through, and its windows
    plan = solve(shop, work, Limits())  a schedule, its bound, and which windows it could not keep
    print(gantt(plan))

Times are whole seconds from an origin that the caller keeps (the journal has the clock; here there is none).
"""

from nextplate.schedule.durations import late_s, usual_s
from nextplate.schedule.rough import rough
from nextplate.schedule.solve import Limits, solve
from nextplate.schedule.verify import conflicts
from nextplate.schedule.words import gantt
from nextplate.schedule.work import Arm, Break, Placed, Route, Schedule, Shop, Stage, Station, Window

__all__ = [
    "Arm",
    "Break",
    "Limits",
    "Placed",
    "Route",
    "Schedule",
    "Shop",
    "Stage",
    "Station",
    "Window",
    "conflicts",
    "gantt",
    "late_s",
    "rough",
    "solve",
    "usual_s",
]
