"""All faults by the kind of request and their name."""

from collections.abc import Mapping

from prefect_seedance.sandbox.faults.fault import Fault
from prefect_seedance.sandbox.faults.rules import Kind

FAULTS: Mapping[Kind, Mapping[str, type[Fault]]] = {
    "submit": {},
    "status": {},
    "file": {},
    "generation": {},
    "callback": {},
}
