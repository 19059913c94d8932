-- Up Migration
-- What each worker says of the upstreams it uses: the command line reads its own environment, and workers have theirs.
create table mendflow.upstream_use (
  worker text not null,
  key text not null,
  declared jsonb not null,
  since timestamptz not null default clock_timestamp(),
  seen_at timestamptz not null default clock_timestamp(),
  primary key (worker, key)
);
comment on table mendflow.upstream_use is 'Upstreams as each worker uses them: addresses, limits, and which secrets are set, never their values.';
comment on column mendflow.upstream_use.worker is 'Host and process.';
comment on column mendflow.upstream_use.key is 'The upstream.';
comment on column mendflow.upstream_use.declared is 'Its declaration with all defaults; of an address never a login.';
comment on column mendflow.upstream_use.since is 'Since when this worker uses it so.';
comment on column mendflow.upstream_use.seen_at is 'When the worker said so last; a living one says it twice a minute.';

-- Down Migration
drop table mendflow.upstream_use;
