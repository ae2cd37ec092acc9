"""The read models, in the order in which a batch is applied to them. A new one is added here."""

from projections import people, trail, webhook_events
from projections.model import ReadModel
from schema.codec import PayloadCodec


def models(codec: PayloadCodec) -> tuple[ReadModel, ...]:
    """Every read model.

    Args:
        codec: opens what outcomes carry sealed.
    """
    return (
        ReadModel(webhook_events.TABLES, webhook_events.apply),
        ReadModel(trail.TABLES, trail.apply),
        ReadModel(people.TABLES, people.PeopleProjection(codec).apply),
    )
