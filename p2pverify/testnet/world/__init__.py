"""A simulated network of machines in virtual time, reproducible from one seed."""

from p2pverify.testnet.world.plan import ActorPlan, WorldPlan, plan_world
from p2pverify.testnet.world.world import World

__all__ = ["ActorPlan", "World", "WorldPlan", "plan_world"]
