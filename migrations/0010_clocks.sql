-- Up Migration
-- What the clocks of workers show, so that one that is wrong can be named. No wait depends on them.
create table mendflow.worker_clock (
  worker text primary key,
  ahead_ms bigint not null,
  measured_at timestamptz not null default clock_timestamp()
);
comment on table mendflow.worker_clock is 'How far the clock of each worker is ahead of this database, as it measured once a minute.';
comment on column mendflow.worker_clock.worker is 'host:pid.';
comment on column mendflow.worker_clock.ahead_ms is 'Negative where it is behind.';
comment on column mendflow.worker_clock.measured_at is 'When it measured last; a worker that has ended measures no more.';

-- Down Migration
drop table mendflow.worker_clock;
