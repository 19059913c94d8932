-- Up Migration
-- How long a stage worked and how long it waited are two figures. A park's row goes when the park is over, so its length is added to the stage then.
alter table mendflow.stage_run add column parked interval not null default '0', add column asked interval not null default '0';
comment on column mendflow.stage_run.parked is 'How long its parks that are over waited for an upstream or a time.';
comment on column mendflow.stage_run.asked is 'How long its parks that are over waited for a decision.';

create function mendflow.add_wait() returns trigger language plpgsql as $$
declare
  waited constant interval := greatest(case when tg_op = 'UPDATE' then new.since else clock_timestamp() end - old.since, '0');
begin
  update mendflow.stage_run s set parked = s.parked + case when old.until = 'decision' then '0' else waited end,
      asked = s.asked + case when old.until = 'decision' then waited else '0' end
    from mendflow.run r where r.key = old.run_key and s.run_key = r.key and s.generation = r.generation and s.stage = old.stage;
  return null;
end $$;
comment on function mendflow.add_wait() is 'A park is over, or another one has taken its place: what it waited is added to its stage.';
create trigger wait_is_over after delete on mendflow.parked_run for each row execute function mendflow.add_wait();
create trigger wait_is_another after update of token on mendflow.parked_run for each row when (old.token <> new.token) execute function mendflow.add_wait();

-- Down Migration
drop trigger wait_is_another on mendflow.parked_run;
drop trigger wait_is_over on mendflow.parked_run;
drop function mendflow.add_wait();
alter table mendflow.stage_run drop column parked, drop column asked;
