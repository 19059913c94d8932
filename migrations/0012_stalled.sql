-- Up Migration
-- Runs whose workflow task fails at every try: Temporal tries again for ever, and the run itself cannot say so.
create table mendflow.stalled_run (
  workflow_id text primary key,
  run_key text not null,
  cause text not null,
  text text not null,
  mend text not null,
  attempts int not null,
  since timestamptz not null,
  seen_at timestamptz not null default clock_timestamp()
);
create index stalled_run_key on mendflow.stalled_run (run_key);
comment on table mendflow.stalled_run is 'One row per run that Temporal cannot move on. Written by watch, and removed by it when the run goes on.';
comment on column mendflow.stalled_run.workflow_id is 'The workflow whose task fails.';
comment on column mendflow.stalled_run.run_key is 'pipeline/date[/scope]; the run itself may not be in the ledger yet.';
comment on column mendflow.stalled_run.cause is 'other_code, code_bug, too_large, timed_out or failing.';
comment on column mendflow.stalled_run.text is 'What happened in one sentence, without record values.';
comment on column mendflow.stalled_run.mend is 'What helps, with the command.';
comment on column mendflow.stalled_run.attempts is 'How often the task was tried.';
comment on column mendflow.stalled_run.since is 'When the task was first to be done.';
comment on column mendflow.stalled_run.seen_at is 'When watch saw it last.';

-- Down Migration
drop table mendflow.stalled_run;
