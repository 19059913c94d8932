-- Up Migration
-- Whose call failed, who else was answered, and what the failure was: one path that is bad must not close the door for all, and an outage has to say why.
alter table mendflow.breaker
  add column ok_by text,
  add column ok_at timestamptz,
  add column ok_other_at timestamptz,
  add column cause jsonb,
  add column cause_at timestamptz;
comment on column mendflow.breaker.ok_by is 'Run and stage that was answered last.';
comment on column mendflow.breaker.ok_at is 'When that was.';
comment on column mendflow.breaker.ok_other_at is 'When any other one was answered last.';
comment on column mendflow.breaker.cause is 'What the last failure was: its code, the host that was called, the run and stage that called.';
comment on column mendflow.breaker.cause_at is 'When that was.';

create table mendflow.breaker_caller (
  key text not null references mendflow.breaker on delete cascade,
  epoch bigint not null,
  caller text not null,
  failed_at timestamptz not null,
  primary key (key, epoch, caller)
) with (fillfactor = 50);
comment on table mendflow.breaker_caller is 'Whose calls failed of late: what one caller repeats is no independent evidence.';
comment on column mendflow.breaker_caller.key is 'The breaker.';
comment on column mendflow.breaker_caller.epoch is 'The epoch it failed in.';
comment on column mendflow.breaker_caller.caller is 'Run and stage.';
comment on column mendflow.breaker_caller.failed_at is 'When it failed last.';

alter table mendflow.breaker_bucket add column ok_at timestamptz, add column bad_at timestamptz;
comment on column mendflow.breaker_bucket.ok_at is 'When a call of this worker was answered last; empty once the worker has said goodbye.';
comment on column mendflow.breaker_bucket.bad_at is 'When a call of this worker was bad first in this slot.';

create or replace function mendflow.breaker_setting(cfg jsonb, name text) returns float8 language sql immutable as $$
  select coalesce(
    (cfg ->> name)::float8,
    case name
      when 'consecutive' then 5
      when 'callsMin' then 20
      when 'failureShare' then 0.5
      when 'slowShare' then 0.8
      when 'windowMs' then 60000
      when 'cooldownMs' then 60000
      when 'cooldownMaxMs' then 900000
      when 'cooldownJitter' then 0.1
      when 'leaseMs' then 35000
      when 'reissuesMax' then 2
      when 'permits' then 1
      when 'workersMin' then 2
      when 'rampMs' then 60000
      when 'othersMs' then 300000
      when 'gateMaxMs' then 3600000
    end)
$$;
comment on function mendflow.breaker_setting(jsonb, text) is 'A setting as declared, or its default: the same as breakerDefaults in src/model/upstream.ts. cooldownJitter is for tests.';

create function mendflow.breaker_cause(p_cause jsonb) returns jsonb language sql immutable as $$
  select case when p_cause is null then '{}'::jsonb else jsonb_build_object('cause', p_cause) end
$$;
comment on function mendflow.breaker_cause(jsonb) is 'The part of an event that says what the failure was.';

create function mendflow.breaker_note_ok(b mendflow.breaker, t timestamptz, p_by text, p_others boolean) returns mendflow.breaker language plpgsql as $$
declare
  r mendflow.breaker := b;
begin
  if p_by is null then return b; end if;
  update mendflow.breaker set
    ok_by = p_by,
    ok_at = t,
    ok_other_at = case when p_others then t when ok_by = p_by then ok_other_at else ok_at end
    where key = b.key returning * into r;
  return r;
end $$;
comment on function mendflow.breaker_note_ok(mendflow.breaker, timestamptz, text, boolean) is 'Remembers who was answered last. p_others: so was another one, a moment before.';

create function mendflow.breaker_weigh(b mendflow.breaker, t timestamptz, p_call text) returns int language plpgsql as $$
declare
  about text := split_part(p_call, ':', 1);
  who text := substr(p_call, length(about) + 2);
  span interval := mendflow.breaker_span(b.cfg, 'othersMs');
  last timestamptz;
  known boolean;
  others timestamptz;
  failing int;
begin
  if who = '' then return 1; end if;
  select x.failed_at into last from mendflow.breaker_caller x where x.key = b.key and x.epoch = b.epoch and x.caller = who;
  known := coalesce(greatest(t - last, last - t) < span, false);
  insert into mendflow.breaker_caller as x (key, epoch, caller, failed_at) values (b.key, b.epoch, who, t)
    on conflict (key, epoch, caller) do update set failed_at = excluded.failed_at;
  if not known then
    delete from mendflow.breaker_caller x where x.key = b.key and (x.epoch <> b.epoch or greatest(t - x.failed_at, x.failed_at - t) >= span);
  end if;
  if not known or about = 'connection' then return 1; end if;
  if about = 'answer' then return 0; end if;
  others := case when b.ok_by = who then b.ok_other_at else b.ok_at end;
  select count(*) into failing from mendflow.breaker_caller x
    where x.key = b.key and x.epoch = b.epoch and x.failed_at > coalesce(b.ok_at, '-infinity');
  if coalesce(greatest(t - others, others - t) < span, false) and failing < least(3, mendflow.breaker_setting(b.cfg, 'consecutive')) then
    return 0;
  end if;
  return 1;
end $$;
comment on function mendflow.breaker_weigh(mendflow.breaker, timestamptz, text) is 'Whether a failed call counts: the first one of a caller does; what it repeats does where the connection failed, or where nobody else was answered of late. The twin of src/model/breaker-evidence.ts.';

drop function mendflow.breaker_window(mendflow.breaker, timestamptz);
create function mendflow.breaker_window(
  b mendflow.breaker, t timestamptz, p_worker text default null,
  out calls bigint, out fail bigint, out slow bigint, out bad int, out callers int
) language sql stable as $$
  with seen as (
    select x.* from mendflow.breaker_bucket x
      where x.key = b.key and x.epoch = b.epoch
        and x.slot <= floor(extract(epoch from t) * 6000 / mendflow.breaker_setting(b.cfg, 'windowMs'))
        and x.slot > floor(extract(epoch from t) * 6000 / mendflow.breaker_setting(b.cfg, 'windowMs')) - 6),
  counted as (
    select x.worker from seen x
      where p_worker is null or x.fail + x.slow > 0
        or x.ok_at >= (select min(mine.bad_at) from seen mine where mine.worker = p_worker)
        or greatest(t - x.ok_at, x.ok_at - t) < interval '3 seconds') -- Answers are told a second late.
  select coalesce(sum(x.ok + x.fail), 0) + greatest(coalesce(sum(x.hung), 0), 0), coalesce(sum(x.fail), 0), coalesce(sum(x.slow), 0),
         count(distinct x.worker) filter (where x.fail + x.slow > 0), count(distinct x.worker)
    from seen x where x.worker in (select worker from counted)
$$;
comment on function mendflow.breaker_window(mendflow.breaker, timestamptz, text) is
  'Sums of the window: calls, failures, slow calls, workers that saw a bad one, workers that called. With p_worker as its failures see it: without workers that were answered only before they began, which are no witnesses that the upstream is well.';

create function mendflow.breaker_leave(p_worker text) returns void language plpgsql as $$
begin
  -- Each report holds the row of its breaker, so it is taken first here, too.
  perform from mendflow.breaker b where exists (select from mendflow.breaker_bucket x where x.key = b.key and x.worker = p_worker) order by b.key for update;
  update mendflow.breaker_bucket set ok_at = null where worker = p_worker and ok_at is not null;
end $$;
comment on function mendflow.breaker_leave(text) is 'A worker says goodbye: its answers are no witnesses any more.';

drop function mendflow.breaker_report(text, bigint, uuid, text, int, int, int, int, int, bigint, bigint, text, text);
create function mendflow.breaker_report(
  p_key text, p_ep bigint, p_tok uuid, p_worker text,
  p_ok int default 0, p_fail int default 0, p_slow int default 0, p_ended int default 0, p_tail int default 0,
  p_gate_ms bigint default 0, p_wait_ms bigint default 0, p_hold text default null, p_print text default null,
  p_calls text[] default null, p_ok_by text default null, p_ok_others boolean default false, p_cause jsonb default null,
  out st text, out ep bigint, out effect text
) language plpgsql as $$
declare
  b mendflow.breaker := mendflow.breaker_row(p_key);
  t timestamptz := mendflow.clk();
  w record;
  m text := mendflow.breaker_mode(b, t);
  this_slot bigint := floor(extract(epoch from t) * 6000 / mendflow.breaker_setting(b.cfg, 'windowMs'));
  fresh boolean;
  c text;
  weight int;
  n int := 0;
  n_fail int := p_fail;
  n_tail int := p_tail;
begin
  b := mendflow.breaker_settle(b, t);
  b := mendflow.breaker_gate(b, t, p_gate_ms, 'throttled');
  st := b.state;
  ep := b.epoch;
  if b.epoch <> p_ep then
    effect := 'late'; -- Fenced: what began in another epoch says nothing about this one.
    return;
  end if;
  if p_hold is not null and m in ('observe', 'forced_closed') then
    effect := 'unheld'; -- An operator lets every call go out now; so the failure is its caller's own.
    return;
  end if;
  if b.state = 'open' then
    effect := 'late';
    return;
  end if;
  if b.state = 'half_open' then
    if p_hold is null and p_ok + p_fail = 0 and p_slow + p_ended > 0 then
      effect := 'counted'; -- A slow trial is still a trial; only its end decides.
      return;
    end if;
    update mendflow.breaker_trial x set
      outcome = case when p_fail > 0 or p_hold is not null then 'fail' when p_ok > 0 then 'ok' end,
      token = case when p_ok + p_fail > 0 or p_hold is not null then x.token end,
      lease_until = case when p_ok + p_fail > 0 or p_hold is not null then x.lease_until end
      where x.key = p_key and x.epoch = p_ep and x.token = p_tok and x.outcome is null;
    if not found then
      effect := 'late';
      return;
    end if;
    if p_hold is not null then
      effect := 'held';
    elsif p_fail > 0 then
      -- An outage now, whatever it was before: time may heal it, so the hold ends and the cooldown counts.
      update mendflow.breaker set hold = null, hold_print = null, cause = coalesce(p_cause, cause), cause_at = case when p_cause is null then cause_at else t end
        where key = p_key returning * into b;
      b := mendflow.breaker_gate(b, t, p_wait_ms, 'asked to wait');
      b := mendflow.breaker_move(b, 'open', 'trial failed', jsonb_build_object('worker', p_worker) || mendflow.breaker_cause(p_cause));
      effect := 'reopened';
    elsif p_ok > 0 then
      effect := 'trial ok';
      b := mendflow.breaker_note_ok(b, t, p_ok_by, p_ok_others);
      if not exists (select from mendflow.breaker_trial x where x.key = p_key and x.epoch = p_ep and x.outcome is distinct from 'ok') then
        b := mendflow.breaker_move(b, 'ramping', 'trials passed', jsonb_build_object('worker', p_worker));
        effect := 'closing';
      else
        -- One answer proves the credential; how many it takes to trust the upstream is another question.
        update mendflow.breaker set hold = null, hold_print = null where key = p_key and hold is not null;
      end if;
    else
      effect := 'released';
    end if;
  end if;
  if p_hold is not null then
    b := mendflow.breaker_move(b, 'open', 'hold', jsonb_build_object('hold', p_hold, 'worker', p_worker) || mendflow.breaker_cause(p_cause));
    update mendflow.breaker set hold = p_hold, hold_print = p_print where key = p_key;
    effect := 'held';
  end if;
  if effect is not null then
    st := b.state;
    ep := b.epoch;
    return;
  end if;
  if p_ok > 0 then
    b := mendflow.breaker_note_ok(b, t, p_ok_by, p_ok_others);
  end if;
  if p_calls is not null then
    n_fail := 0;
    n_tail := 0;
    foreach c in array p_calls loop
      n := n + 1;
      weight := mendflow.breaker_weigh(b, t, c);
      n_fail := n_fail + weight;
      if n > cardinality(p_calls) - p_tail then n_tail := n_tail + weight; end if;
    end loop;
  end if;
  if p_ok + n_fail + p_slow + p_ended > 0 then
    insert into mendflow.breaker_bucket as x (key, epoch, slot, worker, ok, fail, slow, hung, ok_at, bad_at)
      values (p_key, p_ep, this_slot, p_worker, p_ok, n_fail, p_slow, p_slow - p_ended, case when p_ok > 0 then t end, case when n_fail + p_slow > 0 then t end)
      on conflict (key, epoch, slot, worker) do update set
        ok = x.ok + excluded.ok, fail = x.fail + excluded.fail, slow = x.slow + excluded.slow, hung = x.hung + excluded.hung,
        ok_at = coalesce(excluded.ok_at, x.ok_at), bad_at = coalesce(x.bad_at, excluded.bad_at)
      returning x.xmax = 0 into fresh;
    if fresh then
      delete from mendflow.breaker_bucket where key = p_key and slot < this_slot - 6;
    end if;
  end if;
  if p_fail > 0 or p_ok > 0 and b.consec > 0 then
    update mendflow.breaker set consec = case when p_ok = 0 then consec + n_fail else n_tail end,
      cause = case when p_fail > 0 then coalesce(p_cause, cause) else cause end,
      cause_at = case when p_fail > 0 and p_cause is not null then t else cause_at end
      where key = p_key returning * into b;
  end if;
  effect := 'counted';
  select * into w from mendflow.breaker_window(b, t, p_worker);
  if m = 'auto' and n_fail + p_slow > 0 and w.bad >= least(mendflow.breaker_setting(b.cfg, 'workersMin'), w.callers)
    and (b.consec >= mendflow.breaker_setting(b.cfg, 'consecutive')
      or w.calls >= mendflow.breaker_setting(b.cfg, 'callsMin')
        and (w.fail >= w.calls * mendflow.breaker_setting(b.cfg, 'failureShare')
          or w.slow >= w.calls * mendflow.breaker_setting(b.cfg, 'slowShare')))
  then
    b := mendflow.breaker_gate(b, t, p_wait_ms, 'asked to wait');
    b := mendflow.breaker_move(b, 'open', 'threshold', jsonb_build_object(
      'calls', w.calls, 'fail', w.fail, 'slow', w.slow, 'workers', w.bad, 'consecutive', b.consec, 'worker', p_worker) || mendflow.breaker_cause(coalesce(p_cause, b.cause)));
    effect := 'opened';
  elsif b.state = 'ramping' and t - b.changed_at >= mendflow.breaker_span(b.cfg, 'rampMs') then
    b := mendflow.breaker_move(b, 'closed', 'ramp done');
    effect := 'closed';
  end if;
  st := b.state;
  ep := b.epoch;
end $$;
comment on function mendflow.breaker_report(text, bigint, uuid, text, int, int, int, int, int, bigint, bigint, text, text, text[], text, boolean, jsonb) is
  'Tells how calls ended. p_ep and p_tok as given by acquire; p_ok, p_fail: ended calls; p_slow: calls that have just become slow; p_ended: slow ones among the ended; p_tail: failures after the last success of this batch; p_gate_ms: a 429 asks everybody to wait; p_wait_ms: Retry-After of a failure, kept if it opens the breaker; p_hold: code of a fault that only people heal; p_calls: each that failed, as about:run stage, in their order; p_ok_by: who was answered last, p_ok_others: and so was another one; p_cause: code, host and caller of the last failure. A trial reported with all zero hands its permit back. effect: counted, late, released, trial ok, closing, closed, opened, reopened, held (to exactly one), unheld.';

-- Down Migration
drop function mendflow.breaker_report(text, bigint, uuid, text, int, int, int, int, int, bigint, bigint, text, text, text[], text, boolean, jsonb);
drop function mendflow.breaker_leave(text);
drop function mendflow.breaker_window(mendflow.breaker, timestamptz, text);
drop function mendflow.breaker_weigh(mendflow.breaker, timestamptz, text);
drop function mendflow.breaker_note_ok(mendflow.breaker, timestamptz, text, boolean);
drop function mendflow.breaker_cause(jsonb);
drop table mendflow.breaker_caller;
alter table mendflow.breaker drop column ok_by, drop column ok_at, drop column ok_other_at, drop column cause, drop column cause_at;
alter table mendflow.breaker_bucket drop column ok_at, drop column bad_at;
create function mendflow.breaker_window(
  b mendflow.breaker, t timestamptz,
  out calls bigint, out fail bigint, out slow bigint, out bad int, out callers int
) language sql stable as $$
  select coalesce(sum(x.ok + x.fail), 0) + greatest(coalesce(sum(x.hung), 0), 0), coalesce(sum(x.fail), 0), coalesce(sum(x.slow), 0),
         count(distinct x.worker) filter (where x.fail + x.slow > 0), count(distinct x.worker)
    from mendflow.breaker_bucket x
    where x.key = b.key and x.epoch = b.epoch
      and x.slot <= floor(extract(epoch from t) * 6000 / mendflow.breaker_setting(b.cfg, 'windowMs'))
      and x.slot > floor(extract(epoch from t) * 6000 / mendflow.breaker_setting(b.cfg, 'windowMs')) - 6
$$;
comment on function mendflow.breaker_window(mendflow.breaker, timestamptz) is 'Sums of the window: calls, failures, slow calls, workers that saw a bad one, workers that called.';

create or replace function mendflow.breaker_setting(cfg jsonb, name text) returns float8 language sql immutable as $$
  select coalesce(
    (cfg ->> name)::float8,
    case name
      when 'consecutive' then 5
      when 'callsMin' then 20
      when 'failureShare' then 0.5
      when 'slowShare' then 0.8
      when 'windowMs' then 60000
      when 'cooldownMs' then 60000
      when 'cooldownMaxMs' then 900000
      when 'cooldownJitter' then 0.1
      when 'leaseMs' then 35000
      when 'reissuesMax' then 2
      when 'permits' then 1
      when 'workersMin' then 2
      when 'rampMs' then 60000
      when 'gateMaxMs' then 3600000
    end)
$$;
comment on function mendflow.breaker_setting(jsonb, text) is 'A setting as declared, or its default: the same as breakerDefaults in src/model/upstream.ts. cooldownJitter is for tests.';

create function mendflow.breaker_report(
  p_key text, p_ep bigint, p_tok uuid, p_worker text,
  p_ok int default 0, p_fail int default 0, p_slow int default 0, p_ended int default 0, p_tail int default 0,
  p_gate_ms bigint default 0, p_wait_ms bigint default 0, p_hold text default null, p_print text default null,
  out st text, out ep bigint, out effect text
) language plpgsql as $$
declare
  b mendflow.breaker := mendflow.breaker_row(p_key);
  t timestamptz := mendflow.clk();
  w record;
  m text := mendflow.breaker_mode(b, t);
  this_slot bigint := floor(extract(epoch from t) * 6000 / mendflow.breaker_setting(b.cfg, 'windowMs'));
  fresh boolean;
begin
  b := mendflow.breaker_settle(b, t);
  b := mendflow.breaker_gate(b, t, p_gate_ms, 'throttled');
  st := b.state;
  ep := b.epoch;
  if b.epoch <> p_ep then
    effect := 'late'; -- Fenced: what began in another epoch says nothing about this one.
    return;
  end if;
  if p_hold is not null and m in ('observe', 'forced_closed') then
    effect := 'unheld'; -- An operator lets every call go out now; so the failure is its caller's own.
    return;
  end if;
  if b.state = 'open' then
    effect := 'late';
    return;
  end if;
  if b.state = 'half_open' then
    if p_hold is null and p_ok + p_fail = 0 and p_slow + p_ended > 0 then
      effect := 'counted'; -- A slow trial is still a trial; only its end decides.
      return;
    end if;
    update mendflow.breaker_trial x set
      outcome = case when p_fail > 0 or p_hold is not null then 'fail' when p_ok > 0 then 'ok' end,
      token = case when p_ok + p_fail > 0 or p_hold is not null then x.token end,
      lease_until = case when p_ok + p_fail > 0 or p_hold is not null then x.lease_until end
      where x.key = p_key and x.epoch = p_ep and x.token = p_tok and x.outcome is null;
    if not found then
      effect := 'late';
      return;
    end if;
    if p_hold is not null then
      effect := 'held';
    elsif p_fail > 0 then
      -- An outage now, whatever it was before: time may heal it, so the hold ends and the cooldown counts.
      update mendflow.breaker set hold = null, hold_print = null where key = p_key returning * into b;
      b := mendflow.breaker_gate(b, t, p_wait_ms, 'asked to wait');
      b := mendflow.breaker_move(b, 'open', 'trial failed', jsonb_build_object('worker', p_worker));
      effect := 'reopened';
    elsif p_ok > 0 then
      effect := 'trial ok';
      if not exists (select from mendflow.breaker_trial x where x.key = p_key and x.epoch = p_ep and x.outcome is distinct from 'ok') then
        b := mendflow.breaker_move(b, 'ramping', 'trials passed', jsonb_build_object('worker', p_worker));
        effect := 'closing';
      else
        -- One answer proves the credential; how many it takes to trust the upstream is another question.
        update mendflow.breaker set hold = null, hold_print = null where key = p_key and hold is not null;
      end if;
    else
      effect := 'released';
    end if;
  end if;
  if p_hold is not null then
    b := mendflow.breaker_move(b, 'open', 'hold', jsonb_build_object('hold', p_hold, 'worker', p_worker));
    update mendflow.breaker set hold = p_hold, hold_print = p_print where key = p_key;
    effect := 'held';
  end if;
  if effect is not null then
    st := b.state;
    ep := b.epoch;
    return;
  end if;
  if p_ok + p_fail + p_slow + p_ended > 0 then
    insert into mendflow.breaker_bucket as x (key, epoch, slot, worker, ok, fail, slow, hung)
      values (p_key, p_ep, this_slot, p_worker, p_ok, p_fail, p_slow, p_slow - p_ended)
      on conflict (key, epoch, slot, worker) do update set
        ok = x.ok + excluded.ok, fail = x.fail + excluded.fail, slow = x.slow + excluded.slow, hung = x.hung + excluded.hung
      returning x.xmax = 0 into fresh;
    if fresh then
      delete from mendflow.breaker_bucket where key = p_key and slot < this_slot - 6;
    end if;
  end if;
  if p_fail > 0 or p_ok > 0 and b.consec > 0 then
    update mendflow.breaker set consec = case when p_ok = 0 then consec + p_fail else p_tail end where key = p_key returning * into b;
  end if;
  effect := 'counted';
  select * into w from mendflow.breaker_window(b, t);
  if m = 'auto' and p_fail + p_slow > 0 and w.bad >= least(mendflow.breaker_setting(b.cfg, 'workersMin'), w.callers)
    and (b.consec >= mendflow.breaker_setting(b.cfg, 'consecutive')
      or w.calls >= mendflow.breaker_setting(b.cfg, 'callsMin')
        and (w.fail >= w.calls * mendflow.breaker_setting(b.cfg, 'failureShare')
          or w.slow >= w.calls * mendflow.breaker_setting(b.cfg, 'slowShare')))
  then
    b := mendflow.breaker_gate(b, t, p_wait_ms, 'asked to wait');
    b := mendflow.breaker_move(b, 'open', 'threshold', jsonb_build_object(
      'calls', w.calls, 'fail', w.fail, 'slow', w.slow, 'workers', w.bad, 'consecutive', b.consec, 'worker', p_worker));
    effect := 'opened';
  elsif b.state = 'ramping' and t - b.changed_at >= mendflow.breaker_span(b.cfg, 'rampMs') then
    b := mendflow.breaker_move(b, 'closed', 'ramp done');
    effect := 'closed';
  end if;
  st := b.state;
  ep := b.epoch;
end $$;
comment on function mendflow.breaker_report(text, bigint, uuid, text, int, int, int, int, int, bigint, bigint, text, text) is
  'Tells how calls ended. p_ep and p_tok as given by acquire; p_ok, p_fail: ended calls; p_slow: calls that have just become slow; p_ended: slow ones among the ended; p_tail: failures after the last success of this batch; p_gate_ms: a 429 asks everybody to wait; p_wait_ms: Retry-After of a failure, kept if it opens the breaker; p_hold: code of a fault that only people heal. A trial reported with all zero hands its permit back. effect: counted, late, released, trial ok, closing, closed, opened, reopened, held (to exactly one), unheld.';
