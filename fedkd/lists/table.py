"""The table of list steps; a new one is a file and a line here."""

from fedkd.lists.base import ListStep
from fedkd.lists.cold_items import ColdItems
from fedkd.lists.cold_users import ColdUsers
from fedkd.lists.diverse import Diverse
from fedkd.registry import Registry

LIST_STEPS: Registry[ListStep] = Registry("list step", ListStep, ColdUsers, ColdItems, Diverse)
