"""Campaigns: one message to many people, each of them once.

The modules, from an operator's call to the last recorded outcome:

=================== ============================================================================================
task                runs a campaign from one Airflow task: checks it, opens what it needs, sends and reports
requirements        checks before the start: the campaign's id, installed packages, the limit of open files
settings            the limits and times of a run, and the rules of the operator's settings
thread              runs the task's work in a thread, so that a signal of Airflow's ends it in order
recipients          opens what the operator takes as recipients: a list, or a file at a path or URL
readers             reads a list, a CSV file or a JSON Lines file as a stream of rows
message_builder     builds the message of each row, or says why the row is invalid
messages            combines the above with the Connection and the upload of a media file
dry_run             checks all rows, and sends nothing
runner              sends claimed messages at the rate limit, and stops in order
claimer             claims recipients in the ledger, a little ahead of the sends
recorder            records outcomes in the ledger in batches, and logs those that it cannot record
run_state           says whether a run is stopping or finished; the coroutines of a run wait for it
rate_limit          decides when the next message may be sent
stop_rules          decides when a campaign stops, and whether a retry helps
tally               counts recipients by what happened to them; the summary
report              logs whom a task skipped or left unfinished, and returns the error of an incomplete campaign
daemon_executor     runs calls in threads that do not keep the process from ending
=================== ============================================================================================
"""
