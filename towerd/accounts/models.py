"""The tables, as peewee models on a database that is bound when it is opened."""

from __future__ import annotations

from peewee import (
    AutoField,
    BooleanField,
    CompositeKey,
    DatabaseProxy,
    FloatField,
    IntegerField,
    Model,
    TextField,
)

database = DatabaseProxy()


class Table(Model):
    """Base of all tables."""

    class Meta:
        """Bound when the registry is built; plain table names."""

        database = database
        legacy_table_names = False


class Account(Table):
    """One row per account; columns as in `records.AccountRecord`."""

    id = TextField(primary_key=True)
    owner_uid = IntegerField()
    created_at = FloatField()
    name = TextField()
    display_name = TextField(null=True)
    desired = TextField()
    expected_phone = TextField(null=True)
    intent = TextField(null=True)
    proxy_file = TextField(null=True)
    daily_limit = IntegerField(null=True)
    per_minute_limit = IntegerField(null=True)
    declared_in = TextField(null=True)
    is_declaration_gone = BooleanField()
    declared_desired = TextField(null=True)
    state = TextField()
    reason = TextField(null=True)
    detail = TextField(null=True)
    cause = TextField(null=True)
    banned_until = FloatField(null=True)
    since = FloatField()
    is_linked = BooleanField()
    is_confirmed = BooleanField()
    is_primary = BooleanField()
    jid = TextField(null=True)
    phone = TextField(null=True)
    lid = TextField(null=True)
    device_number = IntegerField(null=True)
    push_name = TextField(null=True)
    business_name = TextField(null=True)
    platform = TextField(null=True)
    pairing_started_at = FloatField(null=True)
    pairing_phone = TextField(null=True)
    updated_at = FloatField()
    last_connected_at = FloatField(null=True)
    last_disconnected_at = FloatField(null=True)
    last_seen_at = FloatField(null=True)
    last_activity_at = FloatField(null=True)
    sealed_sequence = IntegerField()


class Transition(Table):
    """An account's history of states."""

    id = AutoField()
    account_id = TextField()
    time = FloatField()
    old = TextField(null=True)
    new = TextField()
    reason = TextField(null=True)


class Event(Table):
    """Everything that happened; the table has AUTOINCREMENT, so ids never repeat."""

    id = AutoField()
    time = FloatField()
    type = TextField()
    account_id = TextField(null=True)
    account_name = TextField(null=True)
    owner_uid = IntegerField(null=True)
    data = TextField()


class Audit(Table):
    """Who did what to which account; outlives the account."""

    id = AutoField()
    time = FloatField()
    uid = IntegerField(null=True)
    user = TextField()
    pid = IntegerField(null=True)
    source = TextField()
    action = TextField()
    account_id = TextField(null=True)
    account_label = TextField(null=True)
    owner_uid = IntegerField(null=True)
    result = TextField()
    detail = TextField(null=True)


class Message(Table):
    """A message or reaction; columns as in `records.MessageRecord`."""

    id = AutoField()
    account_id = TextField()
    message_id = TextField()
    chat = TextField()
    sender = TextField(null=True)
    sender_lid = TextField(null=True)
    push_name = TextField(null=True)
    from_me = BooleanField()
    is_group = BooleanField()
    kind = TextField()
    text = TextField(null=True)
    quoted_id = TextField(null=True)
    target_id = TextField(null=True)
    time = FloatField()
    received_at = FloatField()


class Traffic(Table):
    """How many messages an account has received and sent on a day of the configured zone."""

    account_id = TextField()
    day = TextField()
    received = IntegerField()
    sent = IntegerField()

    class Meta:
        """One row for each account and day."""

        primary_key = CompositeKey("account_id", "day")


class Incident(Table):
    """What needs a human; columns as in `records.IncidentRecord`."""

    id = TextField(primary_key=True)
    subject = TextField()
    kind = TextField()
    line = TextField()
    action = TextField(null=True)
    account_id = TextField(null=True)
    account_name = TextField(null=True)
    owner_uid = IntegerField(null=True)
    opened_at = FloatField()
    closed_at = FloatField(null=True)
    outcome = TextField(null=True)
    told = TextField()
    is_settled = BooleanField()


class Delivery(Table):
    """An event on its way to a webhook; columns as in `records.DeliveryRecord`."""

    id = AutoField()
    endpoint = TextField()
    event_id = IntegerField()
    event_type = TextField()
    message_id = TextField()
    lane = TextField()
    account_name = TextField(null=True)
    body = TextField()
    state = TextField()
    attempts = IntegerField()
    created_at = FloatField()
    next_attempt_at = FloatField()
    attempted_at = FloatField(null=True)
    status = IntegerField(null=True)
    error = TextField(null=True)


class Outgoing(Table):
    """A text to be sent; columns as in `records.OutgoingRecord`."""

    id = AutoField()
    account_id = TextField()
    key = TextField(null=True)
    target = TextField()
    chat = TextField(null=True)
    text = TextField()
    state = TextField()
    reason = TextField(null=True)
    attempts = IntegerField()
    created_at = FloatField()
    next_attempt_at = FloatField()
    settled_at = FloatField(null=True)
    message_id = TextField(null=True)


class ChatGroup(Table):
    """A group that an account is in; `members` is JSON."""

    account_id = TextField()
    jid = TextField()
    name = TextField()
    members = TextField()
    synced_at = FloatField()

    class Meta:
        """One row for each account and group."""

        primary_key = CompositeKey("account_id", "jid")
