-- Up Migration
-- A park's row goes when the park is over, and with it went what it had waited for. It is kept, as attempts and decisions are, so that a run can be told to its end.
create table mendflow.past_park (
  run_key text not null,
  token text not null,
  stage text not null,
  until text not null,
  code text not null,
  upstream text,
  attempts int not null,
  elapsed_ms bigint not null,
  since timestamptz not null,
  wake_at timestamptz,
  ended_at timestamptz not null,
  primary key (run_key, token)
);
comment on table mendflow.past_park is 'Parks that are over, of all generations: what logs prints of them. Written by the database as their rows go.';
comment on column mendflow.past_park.run_key is 'pipeline/date[/scope].';
comment on column mendflow.past_park.token is 'Names the park.';
comment on column mendflow.past_park.stage is 'Stage key.';
comment on column mendflow.past_park.until is 'What would have ended it by itself, or decision.';
comment on column mendflow.past_park.code is 'Code of the failure that parked it.';
comment on column mendflow.past_park.upstream is 'Key of the upstream that failed, if one did.';
comment on column mendflow.past_park.attempts is 'Attempts spent before parking.';
comment on column mendflow.past_park.elapsed_ms is 'Time from the first failure to parking.';
comment on column mendflow.past_park.since is 'When it parked.';
comment on column mendflow.past_park.wake_at is 'When it would have gone on by itself (until time).';
comment on column mendflow.past_park.ended_at is 'When it was over.';

alter function mendflow.add_wait() rename to keep_park;
create or replace function mendflow.keep_park() returns trigger language plpgsql as $$
declare
  ended constant timestamptz := greatest(case when tg_op = 'UPDATE' then new.since else clock_timestamp() end, old.since);
  waited constant interval := ended - old.since;
begin
  -- A look that was under way, or a run that was opened again, may bring a row back: the last time that it goes is the end.
  insert into mendflow.past_park (run_key, token, stage, until, code, upstream, attempts, elapsed_ms, since, wake_at, ended_at)
    values (old.run_key, old.token, old.stage, old.until, old.code, old.upstream, old.attempts, old.elapsed_ms, old.since, old.wake_at, ended)
    on conflict (run_key, token) do update set ended_at = excluded.ended_at;
  update mendflow.stage_run s set parked = s.parked + case when old.until = 'decision' then '0' else waited end,
      asked = s.asked + case when old.until = 'decision' then waited else '0' end
    from mendflow.run r where r.key = old.run_key and s.run_key = r.key and s.generation = r.generation and s.stage = old.stage;
  return null;
end $$;
comment on function mendflow.keep_park() is 'A park is over, or another one has taken its place: it is kept, and what it waited is added to its stage.';

-- Down Migration
alter function mendflow.keep_park() rename to add_wait;
create or replace function mendflow.add_wait() returns trigger language plpgsql as $$
declare
  waited constant interval := greatest(case when tg_op = 'UPDATE' then new.since else clock_timestamp() end - old.since, '0');
begin
  update mendflow.stage_run s set parked = s.parked + case when old.until = 'decision' then '0' else waited end,
      asked = s.asked + case when old.until = 'decision' then waited else '0' end
    from mendflow.run r where r.key = old.run_key and s.run_key = r.key and s.generation = r.generation and s.stage = old.stage;
  return null;
end $$;
comment on function mendflow.add_wait() is 'A park is over, or another one has taken its place: what it waited is added to its stage.';
drop table mendflow.past_park;
