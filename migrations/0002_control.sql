-- Up Migration
-- The control store's view of runs that are under way: stages, attempts, parks and decisions. Written best effort by
-- the guard and the healing activities; a lost row is written again by the next attempt, park or decision.

create table mendflow.stage_run (
  run_key text not null,
  generation int not null,
  stage text not null,
  state text not null check (state in ('running', 'retrying', 'parked', 'asking', 'done', 'skipped', 'loss-accepted', 'failed', 'aborted')),
  attempts int not null default 0,
  first_at timestamptz not null default clock_timestamp(),
  ended_at timestamptz,
  code text,
  class text,
  text text,
  worker text,
  primary key (run_key, generation, stage)
);
comment on table mendflow.stage_run is 'One row per stage of a run and generation; what show prints.';
comment on column mendflow.stage_run.run_key is 'pipeline/date[/scope].';
comment on column mendflow.stage_run.generation is 'Which reprocessing of the run, from 1.';
comment on column mendflow.stage_run.stage is 'Stage key: ingest or ingest[a.log].';
comment on column mendflow.stage_run.state is 'The state people read; park and decision hold the why.';
comment on column mendflow.stage_run.attempts is 'Attempts so far, the one under way included.';
comment on column mendflow.stage_run.first_at is 'When the first attempt began.';
comment on column mendflow.stage_run.ended_at is 'When the last attempt ended, if it has.';
comment on column mendflow.stage_run.code is 'Code of the last failure.';
comment on column mendflow.stage_run.class is 'Class of the last failure.';
comment on column mendflow.stage_run.text is 'The last failure in one sentence, without record values.';
comment on column mendflow.stage_run.worker is 'host:pid of the worker that had the last attempt.';

create table mendflow.attempt (
  id bigint generated always as identity primary key,
  run_key text not null,
  generation int not null,
  stage text not null,
  attempt int not null,
  attempts_max int not null,
  code text not null,
  class text not null,
  text text not null,
  next_try_at timestamptz,
  worker text not null,
  at timestamptz not null default clock_timestamp()
);
create index attempt_run on mendflow.attempt (run_key, at);
comment on table mendflow.attempt is 'One row per failed attempt: what logs prints.';
comment on column mendflow.attempt.id is 'Order of arrival.';
comment on column mendflow.attempt.run_key is 'pipeline/date[/scope].';
comment on column mendflow.attempt.generation is 'Which reprocessing of the run.';
comment on column mendflow.attempt.stage is 'Stage key.';
comment on column mendflow.attempt.attempt is 'Number of the attempt, extensions counted on.';
comment on column mendflow.attempt.attempts_max is 'What the budget allowed at that time.';
comment on column mendflow.attempt.code is 'Code of the failure.';
comment on column mendflow.attempt.class is 'Class of the failure.';
comment on column mendflow.attempt.text is 'The failure in one sentence, without record values.';
comment on column mendflow.attempt.next_try_at is 'Null if the budget was spent.';
comment on column mendflow.attempt.worker is 'host:pid.';
comment on column mendflow.attempt.at is 'When the attempt ended.';

create table mendflow.parked_run (
  run_key text not null,
  stage text not null,
  workflow_id text not null,
  token text not null,
  until text not null check (until in ('upstream', 'time', 'decision')),
  code text not null,
  class text not null,
  text text not null,
  attempts int not null,
  elapsed_ms bigint not null,
  since timestamptz not null,
  wake_at timestamptz,
  checked_at timestamptz not null default clock_timestamp(),
  primary key (workflow_id, stage)
);
create index parked_run_run on mendflow.parked_run (run_key);
comment on table mendflow.parked_run is 'One row per stage that waits, holding nothing; repaired by the park activity each time it looks.';
comment on column mendflow.parked_run.run_key is 'pipeline/date[/scope].';
comment on column mendflow.parked_run.stage is 'Stage key.';
comment on column mendflow.parked_run.workflow_id is 'Where signals go; never a run ID, because parks outlive executions.';
comment on column mendflow.parked_run.token is 'Names this park: a decision for an earlier one is refused.';
comment on column mendflow.parked_run.until is 'What ends it by itself, or decision.';
comment on column mendflow.parked_run.code is 'Code of the failure that parked it.';
comment on column mendflow.parked_run.class is 'Class of that failure.';
comment on column mendflow.parked_run.text is 'That failure in one sentence.';
comment on column mendflow.parked_run.attempts is 'Attempts spent before parking.';
comment on column mendflow.parked_run.elapsed_ms is 'Time from the first failure to parking.';
comment on column mendflow.parked_run.since is 'When it parked.';
comment on column mendflow.parked_run.wake_at is 'When it goes on by itself (until time).';
comment on column mendflow.parked_run.checked_at is 'When the park activity last looked.';

create table mendflow.decision (
  id bigint generated always as identity primary key,
  run_key text not null,
  stage text not null,
  token text not null,
  kind text not null,
  actor text not null,
  reason text not null,
  taken bool not null,
  text text not null,
  at timestamptz not null,
  unique (run_key, stage, token, kind, actor, at)
);
comment on table mendflow.decision is 'Every decision about a run, taken or refused: who, why, when. Append only.';
comment on column mendflow.decision.id is 'Order of arrival.';
comment on column mendflow.decision.run_key is 'pipeline/date[/scope].';
comment on column mendflow.decision.stage is 'Stage key; empty for the whole run.';
comment on column mendflow.decision.token is 'The park it was for; empty if none was named.';
comment on column mendflow.decision.kind is 'retry, skip, extend-budget, accept-loss, abort, or unreadable.';
comment on column mendflow.decision.actor is 'Who, as the client said; unknown from the Web UI.';
comment on column mendflow.decision.reason is 'Why, in the words of the actor.';
comment on column mendflow.decision.taken is 'False: refused, and text says why.';
comment on column mendflow.decision.text is 'What the run answered.';
comment on column mendflow.decision.at is 'When the run took or refused it.';

-- Down Migration
drop table mendflow.decision, mendflow.parked_run, mendflow.attempt, mendflow.stage_run;
