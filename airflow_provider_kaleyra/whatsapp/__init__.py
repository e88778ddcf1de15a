"""Kaleyra's WhatsApp API v2 as plain values: no Airflow, no I/O, standard library only.

An :class:`~.account.Account` turns a :class:`~.message.VideoMessage` into one
:class:`~.request.Request`; :func:`~.outcome.decode` turns any response to it into one of four outcomes.
"""
