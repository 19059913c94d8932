-- Up Migration
-- Nothing stale may write. A generation is opened by exactly one chain of executions (mendflow.run.workflow_run), and whoever writes
-- names both. The comparison is made under the lock of the run's row, so a writer that was stopped anywhere finds what is true by then.
alter table mendflow.stage_run add column attempt_at timestamptz not null default '-infinity';
comment on column mendflow.stage_run.attempt_at is 'Temporal''s time of what was said about the stage last: an attempt, a park, a decision. What is older changes nothing.';
comment on column mendflow.run.workflow_run is 'First execution of the chain that opened the current generation; null for a run that a script made. Others may not write.';

create table mendflow.ended_park (
  run_key text not null,
  token text not null,
  ended_at timestamptz not null default clock_timestamp(),
  primary key (run_key, token)
);
comment on table mendflow.ended_park is 'Parks that are over, of the current generation: a look that was under way as its park ended must not bring the row back.';
comment on column mendflow.ended_park.run_key is 'pipeline/date[/scope].';
comment on column mendflow.ended_park.token is 'Names the park.';
comment on column mendflow.ended_park.ended_at is 'When it was first known to be over.';

create function mendflow.holds(k text, g int, e text) returns boolean language plpgsql as $$
begin
  perform 1 from mendflow.run where key = k and (workflow_run is null or (generation = g and workflow_run = e))
    and state in ('running', 'parked', 'asking') for no key update;
  return found;
end $$;
comment on function mendflow.holds(text, int, text) is 'Whether a run is open in this generation and by this chain of executions; one that a script made is only asked to be open. If so it stays so until the end of the transaction.';

create function mendflow.end_park(k text, g int, e text, s text, t text) returns void language plpgsql as $$
begin
  -- In this order, so that a look which is under way is waited for, and every later one finds the token.
  if mendflow.holds(k, g, e) then
    insert into mendflow.ended_park (run_key, token) values (k, t) on conflict do nothing;
    delete from mendflow.parked_run where run_key = k and stage = s and token = t;
    update mendflow.run set state = 'running', health = 'healthy' where key = k and state in ('parked', 'asking')
      and not exists (select from mendflow.parked_run where run_key = k);
  else
    delete from mendflow.parked_run where run_key = k and stage = s and token = t;
  end if;
end $$;
comment on function mendflow.end_park(text, int, text, text, text) is 'A park is over: its row goes and never comes back, and a run with no other park is running again.';

-- Down Migration
drop function mendflow.end_park(text, int, text, text, text), mendflow.holds(text, int, text);
drop table mendflow.ended_park;
alter table mendflow.stage_run drop column attempt_at;
comment on column mendflow.run.workflow_run is 'First execution of that workflow.';
