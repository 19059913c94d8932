-- Up Migration
-- Breakers: one row per upstream is the truth that all workers share. Transitions happen only here, under the lock of that row.
-- The pure twin is src/model/breaker.ts; a test sends the same commands to both and compares every step.
-- Times are read by mendflow.clk() and by nothing else, so that a clock that jumps can be tested and two machines never compare theirs.
create table mendflow.breaker (
  key text primary key,
  cfg jsonb not null default '{}',
  mode text not null default 'auto' check (mode in ('auto', 'forced_open', 'forced_closed', 'observe')),
  mode_until timestamptz,
  mode_by text,
  mode_why text,
  hold text,
  hold_print text,
  state text not null default 'closed' check (state in ('closed', 'open', 'half_open', 'ramping')),
  epoch bigint not null default 1,
  streak int not null default 0 check (streak >= 0),
  consec int not null default 0 check (consec >= 0),
  reissues int not null default 0,
  changed_at timestamptz not null default clock_timestamp(),
  open_until timestamptz,
  gate_until timestamptz,
  pace_at timestamptz,
  pace_seen timestamptz,
  check ((state = 'open') = (open_until is not null)),
  check (mode <> 'forced_closed' or mode_until is not null),
  check (hold is null or state in ('open', 'half_open'))
) with (fillfactor = 50);
comment on table mendflow.breaker is 'One row per upstream: whether it may be called now. Changed only by the functions of this file.';
comment on column mendflow.breaker.key is 'kind:failure-domain, such as http:quake-api: the smallest thing that fails together.';
comment on column mendflow.breaker.cfg is 'The settings as declared, written by each worker at its start; what is missing has the default of mendflow.breaker_setting.';
comment on column mendflow.breaker.mode is 'auto, or what an operator said: forced_open, forced_closed, observe (counts, never opens). Beside the state, which goes on underneath.';
comment on column mendflow.breaker.mode_until is 'When the mode goes back to auto; null means never. forced_closed always ends.';
comment on column mendflow.breaker.mode_by is 'Who set the mode.';
comment on column mendflow.breaker.mode_why is 'Why.';
comment on column mendflow.breaker.hold is 'Code of a fault that time does not heal, such as http_401. While it is set nobody is admitted but by a decision or with another credential.';
comment on column mendflow.breaker.hold_print is 'Fingerprint of the credential that was refused. A few bits: enough to see that it changed, too few to guess it.';
comment on column mendflow.breaker.state is 'closed -> open -> half_open -> ramping -> closed; half_open and ramping may fall back to open. No other edge.';
comment on column mendflow.breaker.epoch is 'Raised by one with each transition. A result of an older epoch moves nothing.';
comment on column mendflow.breaker.streak is 'Openings that still count: each doubles the cooldown.';
comment on column mendflow.breaker.consec is 'Failures since the last success.';
comment on column mendflow.breaker.reissues is 'How often a trial of this epoch was lost with its holder and granted again.';
comment on column mendflow.breaker.changed_at is 'When this epoch began.';
comment on column mendflow.breaker.open_until is 'End of the cooldown; set exactly while open.';
comment on column mendflow.breaker.gate_until is 'The upstream asked everybody to stay away until then (429, Retry-After).';
comment on column mendflow.breaker.pace_at is 'The next free time slot of a paced upstream.';
comment on column mendflow.breaker.pace_seen is 'The clock at the last reservation: a clock behind it was set back, and the slots move with it.';

create table mendflow.breaker_bucket (
  key text not null references mendflow.breaker on delete cascade,
  epoch bigint not null,
  slot bigint not null,
  worker text not null,
  ok int not null,
  fail int not null,
  slow int not null,
  hung int not null,
  primary key (key, epoch, slot, worker)
) with (fillfactor = 50);
comment on table mendflow.breaker_bucket is 'The window: counts of calls per sixth of a window and worker. Entering a state starts an empty one, by its epoch.';
comment on column mendflow.breaker_bucket.key is 'The breaker.';
comment on column mendflow.breaker_bucket.epoch is 'The epoch the calls began in.';
comment on column mendflow.breaker_bucket.slot is 'Time since 1970 in sixths of the window.';
comment on column mendflow.breaker_bucket.worker is 'Who called: one bad machine alone does not open a breaker that others use well.';
comment on column mendflow.breaker_bucket.ok is 'Calls that were answered; a 404 is an answer.';
comment on column mendflow.breaker_bucket.fail is 'Calls that failed through the fault of the upstream.';
comment on column mendflow.breaker_bucket.slow is 'Calls that took longer than declared, counted while they still run.';
comment on column mendflow.breaker_bucket.hung is 'Slow calls begun minus slow calls ended: those that are in neither ok nor fail yet.';

create table mendflow.breaker_trial (
  key text not null references mendflow.breaker on delete cascade,
  epoch bigint not null,
  n smallint not null,
  token uuid,
  owner text,
  lease_until timestamptz,
  outcome text check (outcome in ('ok', 'fail')),
  primary key (key, epoch, n),
  check ((token is null) = (lease_until is null))
);
comment on table mendflow.breaker_trial is 'The trials of a half-open epoch. Each is leased to one caller at a time.';
comment on column mendflow.breaker_trial.key is 'The breaker.';
comment on column mendflow.breaker_trial.epoch is 'The half-open epoch.';
comment on column mendflow.breaker_trial.n is 'From 1 to the declared number of permits.';
comment on column mendflow.breaker_trial.token is 'Names the lease: the result of a holder that was replaced counts for nothing.';
comment on column mendflow.breaker_trial.owner is 'Who holds it, for people.';
comment on column mendflow.breaker_trial.lease_until is 'After that it is granted again: its holder has crashed or hangs.';
comment on column mendflow.breaker_trial.outcome is 'ok or fail; null while it is open.';

create table mendflow.breaker_event (
  id bigint generated always as identity primary key,
  key text not null,
  kind text not null default 'move' check (kind in ('move', 'mode', 'gate')),
  epoch bigint not null,
  from_state text not null,
  to_state text not null,
  reason text not null,
  detail jsonb not null default '{}',
  at timestamptz not null default clock_timestamp()
);
create index breaker_event_key on mendflow.breaker_event (key, id);
-- The last move of a breaker is read at each look at it, and gates of a throttled upstream would stand before it by the thousand.
create index breaker_event_move on mendflow.breaker_event (key, id) where kind = 'move';
comment on table mendflow.breaker_event is 'What happened to each breaker, for ever: transitions, modes set by operators, gates asked for by the upstream.';
comment on column mendflow.breaker_event.id is 'Counts events.';
comment on column mendflow.breaker_event.key is 'The breaker; without a reference, because history outlives it.';
comment on column mendflow.breaker_event.kind is 'move: the state changed and the epoch is new. mode and gate: they did not.';
comment on column mendflow.breaker_event.epoch is 'Epoch after the event.';
comment on column mendflow.breaker_event.from_state is 'State before.';
comment on column mendflow.breaker_event.to_state is 'State after.';
comment on column mendflow.breaker_event.reason is 'Why, in words.';
comment on column mendflow.breaker_event.detail is 'The figures it was decided by: calls, failures, cooldown, who and until when.';
comment on column mendflow.breaker_event.at is 'When.';

create function mendflow.clk() returns timestamptz language sql volatile as $$
  select coalesce(
    to_timestamp(nullif(current_setting('mendflow.stopped_at', true), '')::numeric / 1000),
    clock_timestamp() + coalesce(nullif(current_setting('mendflow.skew', true), '')::interval, '0'))
$$;
comment on function mendflow.clk() is 'The only clock of breakers. For tests a session may shift its own by mendflow.skew (an interval) or stop it by mendflow.stopped_at (ms since 1970): so a clock jumps without waiting.';
alter table mendflow.breaker alter changed_at set default mendflow.clk();
alter table mendflow.breaker_event alter at set default mendflow.clk();

create function mendflow.ms_of(span interval) returns bigint language sql immutable as $$
  select ceil(extract(epoch from span) * 1000)::bigint
$$;
comment on function mendflow.ms_of(interval) is 'Whole milliseconds, rounded up: a wait is never shorter than it was said.';

create function mendflow.breaker_setting(cfg jsonb, name text) returns float8 language sql immutable as $$
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

create function mendflow.breaker_span(cfg jsonb, name text) returns interval language sql immutable as $$
  select mendflow.breaker_setting(cfg, name) * interval '1 millisecond'
$$;
comment on function mendflow.breaker_span(jsonb, text) is 'A setting in milliseconds as an interval.';

create function mendflow.breaker_cooldown_max(cfg jsonb) returns interval language sql immutable as $$
  select mendflow.breaker_span(cfg, 'cooldownMaxMs') * (1 + mendflow.breaker_setting(cfg, 'cooldownJitter'))
$$;
comment on function mendflow.breaker_cooldown_max(jsonb) is 'The longest cooldown there can be. One that has more left was made by a clock that has been set back since.';

create function mendflow.breaker_mode(b mendflow.breaker, t timestamptz) returns text language sql immutable as $$
  select case when b.mode_until <= t then 'auto' else b.mode end
$$;
comment on function mendflow.breaker_mode(mendflow.breaker, timestamptz) is 'The mode that counts now: one that has ended counts as auto before anybody has written so.';

create function mendflow.breaker_notify(b mendflow.breaker) returns void language sql as $$
  select pg_notify('mendflow_breaker', json_build_object('k', b.key, 's', b.state, 'e', b.epoch)::text)
$$;
comment on function mendflow.breaker_notify(mendflow.breaker) is 'Tells all workers to read the row again. Only at transitions, modes, holds and gates: NOTIFY takes a lock of the whole database at commit.';

create function mendflow.breaker_look(
  b mendflow.breaker, t timestamptz, p_print text, p_decided boolean,
  out admit boolean, out trial boolean, out stale boolean, out st text, out retry_ms bigint
) language plpgsql stable as $$
declare
  m text := mendflow.breaker_mode(b, t);
  lease interval := mendflow.breaker_span(b.cfg, 'leaseMs');
  wait interval;
  free int;
  lost int;
begin
  admit := true;
  trial := false;
  stale := false;
  st := b.state;
  retry_ms := 0;
  if m = 'forced_open' then
    admit := false;
    st := 'forced_open';
    retry_ms := coalesce(mendflow.ms_of(b.mode_until - t), 60000);
    return;
  end if;
  if m = 'forced_closed' then return; end if;
  if b.gate_until > t then
    wait := mendflow.breaker_span(b.cfg, 'gateMaxMs');
    admit := false;
    st := 'throttled';
    stale := b.gate_until - t > wait;
    retry_ms := mendflow.ms_of(least(b.gate_until - t, wait));
    return;
  end if;
  if m = 'observe' or b.state in ('closed', 'ramping') then return; end if;
  if b.hold is not null and not p_decided and not (p_print is not null and p_print is distinct from b.hold_print) then
    admit := false;
    st := 'hold';
    retry_ms := ceil(mendflow.breaker_setting(b.cfg, 'cooldownMs'));
    return;
  end if;
  if b.state = 'open' then
    if b.open_until > t and not (p_decided and b.hold is not null) then
      wait := mendflow.breaker_cooldown_max(b.cfg);
      admit := false;
      stale := b.open_until - t > wait;
      retry_ms := mendflow.ms_of(least(b.open_until - t, wait));
      return;
    end if;
    trial := true;
    return;
  end if;
  select count(*) filter (where x.token is null),
         count(*) filter (where x.lease_until <= t or x.lease_until - t > lease),
         min(x.lease_until) - t
    into free, lost, wait
    from mendflow.breaker_trial x where x.key = b.key and x.epoch = b.epoch and x.outcome is null;
  if free > 0 or lost > 0 and b.reissues < mendflow.breaker_setting(b.cfg, 'reissuesMax') then
    trial := true;
    return;
  end if;
  admit := false;
  stale := lost > 0;
  retry_ms := case when lost > 0 then 1000 else coalesce(greatest(mendflow.ms_of(wait), 1), 1000) end;
end $$;
comment on function mendflow.breaker_look(mendflow.breaker, timestamptz, text, boolean) is 'Whether a call would be admitted, and why not. Changes nothing. trial: admitted as a leased trial only. stale: the row has to be put right under its lock first.';

create function mendflow.breaker_settle(b mendflow.breaker, t timestamptz) returns mendflow.breaker language plpgsql as $$
declare
  r mendflow.breaker := b;
  open_max timestamptz := t + mendflow.breaker_cooldown_max(b.cfg);
  gate_max timestamptz := t + mendflow.breaker_span(b.cfg, 'gateMaxMs');
begin
  if b.open_until > open_max or b.gate_until > gate_max or b.changed_at > t then
    update mendflow.breaker set
      open_until = case when open_until > open_max then open_max else open_until end,
      gate_until = case when gate_until > gate_max then gate_max else gate_until end,
      changed_at = case when changed_at > t then t else changed_at end
      where key = b.key returning * into r;
  end if;
  return r;
end $$;
comment on function mendflow.breaker_settle(mendflow.breaker, timestamptz) is 'After a clock was set back, waits that would outlast their own maximum are cut to it, once. The caller holds the lock of the row.';

create function mendflow.breaker_cooldown_ms(cfg jsonb, streak int) returns float8 language sql immutable as $$
  select least(
    mendflow.breaker_setting(cfg, 'cooldownMs') * power(2, least(greatest(streak - 1, 0), 30)),
    mendflow.breaker_setting(cfg, 'cooldownMaxMs'))
$$;
comment on function mendflow.breaker_cooldown_ms(jsonb, int) is 'How long a breaker stays open after so many openings, without its jitter.';

create function mendflow.breaker_streak(b mendflow.breaker, dst text, t timestamptz) returns int language plpgsql immutable as $$
declare
  longest float8 := mendflow.breaker_setting(b.cfg, 'cooldownMaxMs');
  calm int := case when b.state = 'closed' then least(floor(greatest(extract(epoch from t - b.changed_at)::float8 * 1000, 0) / longest), 1000000) else 0 end;
  rest int := greatest(b.streak - calm, 0);
begin
  return case
    when dst = 'closed' then greatest(b.streak - 1, 0)
    when dst <> 'open' then b.streak
    when rest > 0 and mendflow.breaker_cooldown_ms(b.cfg, rest) >= longest then rest
    else rest + 1 end;
end $$;
comment on function mendflow.breaker_streak(mendflow.breaker, text, timestamptz) is 'Openings that still count after a move: each adds one until the cooldown is at its maximum; a whole ramp takes one off, and so does each longest cooldown that the breaker then stays closed.';

create function mendflow.breaker_move(b mendflow.breaker, dst text, why text, d jsonb default '{}') returns mendflow.breaker language plpgsql as $$
declare
  r mendflow.breaker;
  t timestamptz := mendflow.clk();
  s int := mendflow.breaker_streak(b, dst, t);
  cooldown float8 := mendflow.breaker_cooldown_ms(b.cfg, s) * (1 + random() * mendflow.breaker_setting(b.cfg, 'cooldownJitter'));
begin
  update mendflow.breaker set
    state = dst, epoch = epoch + 1, streak = s, consec = 0, reissues = 0, changed_at = t,
    open_until = case when dst = 'open' then t + cooldown * interval '1 millisecond' end,
    hold = case when dst in ('open', 'half_open') then hold end,
    hold_print = case when dst in ('open', 'half_open') then hold_print end
    where key = b.key returning * into r;
  delete from mendflow.breaker_trial where key = b.key and epoch < b.epoch;
  delete from mendflow.breaker_bucket where key = b.key and epoch < b.epoch;
  if dst = 'half_open' then
    insert into mendflow.breaker_trial (key, epoch, n)
      select b.key, r.epoch, g from generate_series(1, ceil(mendflow.breaker_setting(b.cfg, 'permits'))::int) g;
  end if;
  if dst = 'open' then
    d := d || jsonb_build_object('cooldownMs', ceil(cooldown));
  end if;
  if r.hold is not null then
    d := jsonb_build_object('hold', r.hold) || d;
  end if;
  insert into mendflow.breaker_event (key, epoch, from_state, to_state, reason, detail) values (b.key, r.epoch, b.state, dst, why, d);
  perform mendflow.breaker_notify(r);
  return r;
end $$;
comment on function mendflow.breaker_move(mendflow.breaker, text, text, jsonb) is 'The one place where a state changes. The caller holds the lock of the row.';

create function mendflow.breaker_row(p_key text) returns mendflow.breaker language plpgsql as $$
declare
  b mendflow.breaker;
begin
  select * into b from mendflow.breaker where key = p_key for update;
  if not found then
    insert into mendflow.breaker (key) values (p_key) on conflict do nothing;
    select * into b from mendflow.breaker where key = p_key for update;
  end if;
  return b;
end $$;
comment on function mendflow.breaker_row(text) is 'The row, locked; made with defaults where it is missing.';

create function mendflow.breaker_acquire(
  p_key text, p_owner text, p_print text default null, p_decided boolean default false,
  out allow boolean, out st text, out ep bigint, out tok uuid, out retry_ms bigint
) language plpgsql as $$
declare
  b mendflow.breaker;
  tr mendflow.breaker_trial;
  v record;
  t timestamptz;
begin
  select * into b from mendflow.breaker where key = p_key;
  if not found then b := mendflow.breaker_row(p_key); end if;
  select * into v from mendflow.breaker_look(b, mendflow.clk(), p_print, p_decided);
  allow := v.admit;
  st := v.st;
  ep := b.epoch;
  retry_ms := v.retry_ms;
  if not v.trial and not v.stale then return; end if;
  -- Few callers get here: everything above reads one row and locks nothing.
  b := mendflow.breaker_row(p_key);
  t := mendflow.clk();
  b := mendflow.breaker_settle(b, t);
  select * into v from mendflow.breaker_look(b, t, p_print, p_decided);
  if v.stale then
    b := mendflow.breaker_move(b, 'open', 'trial lease lost');
    v.st := 'open';
    v.retry_ms := greatest(mendflow.ms_of(b.open_until - t), 1);
  end if;
  allow := v.admit;
  st := v.st;
  ep := b.epoch;
  retry_ms := v.retry_ms;
  if not v.trial then return; end if;
  if b.state = 'open' then
    b := mendflow.breaker_move(b, 'half_open', case when b.hold is null then 'cooldown elapsed' when p_decided then 'decided' else 'other credential' end);
  end if;
  select * into tr from mendflow.breaker_trial x
    where x.key = p_key and x.epoch = b.epoch and x.outcome is null
      and (x.token is null or x.lease_until <= t or x.lease_until - t > mendflow.breaker_span(b.cfg, 'leaseMs'))
    order by x.token is not null, x.n limit 1;
  if tr.token is not null then
    update mendflow.breaker set reissues = reissues + 1 where key = p_key;
  end if;
  tok := gen_random_uuid();
  update mendflow.breaker_trial set token = tok, owner = p_owner, lease_until = t + mendflow.breaker_span(b.cfg, 'leaseMs')
    where key = p_key and epoch = b.epoch and n = tr.n;
  st := b.state;
  ep := b.epoch;
end $$;
comment on function mendflow.breaker_acquire(text, text, text, boolean) is 'Asks to call. Admitted with a token, the call is a trial and has to be reported with it; refused, retry_ms says when to ask again.';

create function mendflow.breaker_would_admit(
  p_key text, p_print text default null, p_decided boolean default false,
  out admit boolean, out trial boolean, out state text, out why text, out ep bigint, out retry_ms bigint, out calls_per_second float8
) language plpgsql stable as $$
declare
  b mendflow.breaker;
  v record;
begin
  select * into b from mendflow.breaker x where x.key = p_key;
  if not found then
    admit := true;
    trial := false;
    state := 'closed';
    why := 'closed';
    ep := 1;
    retry_ms := 0;
    return;
  end if;
  select * into v from mendflow.breaker_look(b, mendflow.clk(), p_print, p_decided);
  admit := v.admit;
  trial := v.trial;
  state := b.state;
  why := v.st;
  ep := b.epoch;
  retry_ms := v.retry_ms;
  calls_per_second := (b.cfg ->> 'callsPerSecond')::float8;
end $$;
comment on function mendflow.breaker_would_admit(text, text, boolean) is 'What breaker_acquire would answer, without asking: changes nothing and takes no trial.';

create function mendflow.breaker_gate(b mendflow.breaker, t timestamptz, p_ms bigint, p_why text) returns mendflow.breaker language plpgsql as $$
declare
  r mendflow.breaker := b;
  until timestamptz := t + least(p_ms, mendflow.breaker_setting(b.cfg, 'gateMaxMs')) * interval '1 millisecond';
begin
  if p_ms is null or p_ms <= 0 or b.gate_until >= until then return b; end if;
  update mendflow.breaker set gate_until = until where key = b.key returning * into r;
  if b.gate_until is null or b.gate_until <= t then
    insert into mendflow.breaker_event (key, kind, epoch, from_state, to_state, reason, detail)
      values (b.key, 'gate', b.epoch, b.state, b.state, p_why, jsonb_build_object('waitMs', mendflow.ms_of(until - t)));
  end if;
  perform mendflow.breaker_notify(r);
  return r;
end $$;
comment on function mendflow.breaker_gate(mendflow.breaker, timestamptz, bigint, text) is 'Keeps everybody away for a time that the upstream asked for. Never shortens; cut to gateMaxMs.';

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

create function mendflow.breaker_tick(p_key text, out st text, out ep bigint, out effect text) language plpgsql as $$
declare
  b mendflow.breaker;
  t timestamptz;
  v record;
begin
  select * into b from mendflow.breaker where key = p_key for update;
  if not found then return; end if;
  t := mendflow.clk();
  b := mendflow.breaker_settle(b, t);
  effect := 'none';
  if b.mode <> 'auto' and b.mode_until <= t then
    insert into mendflow.breaker_event (key, kind, epoch, from_state, to_state, reason, detail)
      values (p_key, 'mode', b.epoch, b.state, b.state, 'auto', jsonb_build_object('by', 'expiry', 'before', b.mode));
    update mendflow.breaker set mode = 'auto', mode_until = null, mode_by = null, mode_why = null where key = p_key returning * into b;
    perform mendflow.breaker_notify(b);
    effect := 'auto';
  end if;
  if b.state = 'ramping' and t - b.changed_at >= mendflow.breaker_span(b.cfg, 'rampMs') then
    b := mendflow.breaker_move(b, 'closed', 'ramp done');
    effect := 'closed';
  elsif b.state = 'half_open' then
    -- With a hold hardly anybody may ask for the lost trial, so it ends here instead of waiting to be granted again.
    select count(*) filter (where x.lease_until <= t or x.lease_until - t > mendflow.breaker_span(b.cfg, 'leaseMs')) as lost,
           count(*) filter (where x.token is null) as free
      into v from mendflow.breaker_trial x where x.key = p_key and x.epoch = b.epoch and x.outcome is null;
    if v.lost > 0 and (b.hold is not null or v.free = 0 and b.reissues >= mendflow.breaker_setting(b.cfg, 'reissuesMax')) then
      b := mendflow.breaker_move(b, 'open', 'trial lease lost');
      effect := 'reopened';
    end if;
  end if;
  st := b.state;
  ep := b.epoch;
end $$;
comment on function mendflow.breaker_tick(text) is 'What happens by time alone: a ramp that is over closes without traffic, a mode ends, a lost trial ends the half-open state. open -> half_open is left to the call that will be the trial.';

create function mendflow.breaker_set_mode(p_key text, p_mode text, p_for_ms bigint, p_by text, p_why text) returns mendflow.breaker language plpgsql as $$
declare
  b mendflow.breaker;
  before mendflow.breaker;
  until timestamptz := mendflow.clk() + p_for_ms * interval '1 millisecond';
begin
  if p_mode = 'forced_closed' and p_for_ms is null then
    raise exception 'A breaker that is forced closed protects nobody, so it has to end: give a time.' using errcode = '22023';
  end if;
  before := mendflow.breaker_row(p_key);
  update mendflow.breaker set
    mode = p_mode,
    mode_until = case when p_mode <> 'auto' then until end,
    mode_by = case when p_mode <> 'auto' then p_by end,
    mode_why = case when p_mode <> 'auto' then p_why end,
    hold = case when p_mode <> 'auto' then hold end,
    hold_print = case when p_mode <> 'auto' then hold_print end
    where key = p_key returning * into b;
  insert into mendflow.breaker_event (key, kind, epoch, from_state, to_state, reason, detail)
    values (p_key, 'mode', b.epoch, b.state, b.state, p_mode, jsonb_strip_nulls(jsonb_build_object(
      'by', p_by, 'why', p_why, 'before', before.mode, 'forMs', case when p_mode <> 'auto' then p_for_ms end,
      'holdCleared', case when b.hold is null then before.hold end)));
  perform mendflow.breaker_notify(b);
  return b;
end $$;
comment on function mendflow.breaker_set_mode(text, text, bigint, text, text) is 'An operator overrides the breaker, for so many milliseconds or (null) for good; forced_closed has to end. auto also clears a hold: the next call after the cooldown is a trial.';

create function mendflow.breaker_pace(
  p_key text, p_n int, p_cps float8, p_lead_ms float8 default 0,
  out wait_ms float8, out spacing_ms float8, out at_ms float8
) language plpgsql as $$
declare
  b mendflow.breaker := mendflow.breaker_row(p_key);
  t timestamptz := mendflow.clk();
  first timestamptz := greatest(b.pace_at - greatest(b.pace_seen - t, interval '0'), t + p_lead_ms * interval '1 millisecond');
begin
  -- A twentieth more than even: timers fire late, and a late call followed by one in time must not crowd a second.
  spacing_ms := 1050 / case when p_cps < 1 then p_cps else floor(p_cps) end;
  wait_ms := extract(epoch from first - t) * 1000;
  at_ms := extract(epoch from t) * 1000;
  update mendflow.breaker set pace_at = first + p_n * spacing_ms * interval '1 millisecond', pace_seen = t where key = p_key;
end $$;
comment on function mendflow.breaker_pace(text, int, float8, float8) is 'Reserves p_n time slots, none before p_lead_ms: the first in wait_ms, the others each spacing_ms later. No second holds more than p_cps slots, over all workers. A clock set back moves the slots with it. at_ms is that clock, for whoever wants to know how long the answer took to come back.';

alter table mendflow.parked_run
  add column upstream text,
  add column deadline_at timestamptz,
  add column released_at timestamptz,
  add column released_epoch bigint,
  add column canary_at timestamptz;
create index parked_run_upstream on mendflow.parked_run (upstream);
comment on column mendflow.parked_run.upstream is 'Key of the upstream it waits for (until upstream).';
comment on column mendflow.parked_run.deadline_at is 'Deadline of the run: until then the wait for an upstream may last, and who is nearest goes first.';
comment on column mendflow.parked_run.released_at is 'When recovery let it go on; null while it has to wait.';
comment on column mendflow.parked_run.released_epoch is 'Epoch of the breaker it was released in: another one takes the release back.';
comment on column mendflow.parked_run.canary_at is 'When it was sent ahead as canary last.';
