-- Up Migration
-- The ledger of the data plane: what was read, where it went, and who may write. It lives in the sink's own database,
-- so that rows, ledger and letters commit together. Schema "mendflow" is ours; the target tables stay in the default schema.
create extension if not exists btree_gist;
create schema if not exists mendflow;
comment on schema mendflow is 'Mendflow: runs, ledger, leases and dead letters, committed together with the data they describe.';

create table mendflow.run (
  key text primary key,
  pipeline text not null,
  data_date text not null,
  scope text not null default '',
  generation int not null default 1 check (generation >= 1),
  state text not null default 'running' check (state in ('running', 'parked', 'asking', 'done', 'degraded', 'aborted', 'failed')),
  health text not null default 'healthy',
  workflow_id text,
  workflow_run text,
  owner text,
  input_sha256 bytea,
  input jsonb,
  timeline text not null default substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
  opened_at timestamptz not null default clock_timestamp(),
  closed_at timestamptz,
  closed jsonb,
  unique (pipeline, data_date, scope)
);
comment on table mendflow.run is 'One row per run: pipeline x data date x scope. "Is it finished?" is answered here, never by the reuse of a workflow ID.';
comment on column mendflow.run.key is 'pipeline/data date[/scope]; reads aloud and is the key of the ledger.';
comment on column mendflow.run.pipeline is 'Name of the pipeline.';
comment on column mendflow.run.data_date is 'The period the data is about, resolved once when the run was started.';
comment on column mendflow.run.scope is 'The declared inputs that are part of the identity; empty without any.';
comment on column mendflow.run.generation is 'Which reprocessing of the run is current, from 1; --force and heal back open the next.';
comment on column mendflow.run.state is 'running, parked (waits for a time), asking (waits for a person), or closed: done, degraded, aborted, failed.';
comment on column mendflow.run.health is 'healthy, or a word for why not; for lists and the Web UI.';
comment on column mendflow.run.workflow_id is 'Temporal workflow that works the run.';
comment on column mendflow.run.workflow_run is 'First execution of that workflow.';
comment on column mendflow.run.owner is 'Who is asked when the run asks.';
comment on column mendflow.run.input_sha256 is 'Hash of all inputs: a start with other inputs than the run has is refused.';
comment on column mendflow.run.input is 'The inputs as given, to name the difference in that refusal.';
comment on column mendflow.run.timeline is 'Timeline of the database when the run was opened; another one later means a failover that may have lost commits.';
comment on column mendflow.run.opened_at is 'When the current generation was opened.';
comment on column mendflow.run.closed_at is 'When it was closed; null while it is open.';
comment on column mendflow.run.closed is 'The balance at closing: bins, tiles, hashes.';
create index run_state on mendflow.run (state, pipeline);

create table mendflow.source (
  id bigint generated always as identity primary key,
  pipeline text not null,
  name bytea not null,
  version int not null default 1,
  superseded_by bigint references mendflow.source,
  hint jsonb,
  created_at timestamptz not null default clock_timestamp(),
  unique (pipeline, name, version)
);
comment on table mendflow.source is 'Something records are read from, told by pipeline, name and version. Positions are byte offsets in its decoded stream.';
comment on column mendflow.source.id is 'First half of the row key (source_id, offset).';
comment on column mendflow.source.pipeline is 'Pipeline that reads it; another pipeline has its own row for the same file.';
comment on column mendflow.source.name is 'Root-relative path without codec suffix, as bytes: names need not be UTF-8.';
comment on column mendflow.source.version is 'Other bytes under the same name are the next version.';
comment on column mendflow.source.superseded_by is 'Set where a newer version replaces this one.';
comment on column mendflow.source.hint is 'inode, size and times when last seen. Hints only: sameness is proved by hashing committed ranges again.';
comment on column mendflow.source.created_at is 'When it was first seen.';

create table mendflow.slice (
  run_key text not null references mendflow.run,
  generation int not null,
  stage text not null,
  source_id bigint not null references mendflow.source,
  extent int8range not null,
  sealed boolean not null,
  at timestamptz not null default clock_timestamp(),
  primary key (run_key, generation, stage, source_id),
  exclude using gist (source_id with =, stage with =, generation with =, extent with &&)
);
comment on table mendflow.slice is 'The plan: which bytes of a source a run covers. Written before the first chunk, then never changed.';
comment on column mendflow.slice.run_key is 'The run.';
comment on column mendflow.slice.generation is 'The generation of the run.';
comment on column mendflow.slice.stage is 'The stage as declared, without the name of the single call.';
comment on column mendflow.slice.source_id is 'The source.';
comment on column mendflow.slice.extent is 'Byte range in the decoded stream, ending with the last finished record at planning time; empty where nothing was new.';
comment on column mendflow.slice.sealed is 'True if the source was known to be complete.';
comment on column mendflow.slice.at is 'When it was planned.';

create table mendflow.chunk (
  source_id bigint not null references mendflow.source,
  stage text not null,
  generation int not null,
  extent int8range not null check (not isempty(extent) and lower(extent) >= 0),
  run_key text not null references mendflow.run,
  epoch bigint not null,
  first_line bigint,
  read int not null check (read >= 0),
  loaded int not null check (loaded >= 0),
  duplicate int not null check (duplicate >= 0),
  quarantined int not null check (quarantined >= 0),
  skipped int not null check (skipped >= 0),
  rows_out int not null check (rows_out >= 0),
  counted boolean not null default true,
  reason text,
  raw_sha256 bytea,
  rows_sha256 bytea,
  at timestamptz not null default clock_timestamp(),
  check (read = loaded + duplicate + quarantined + skipped),
  check (raw_sha256 is not null or reason is not null),
  check (counted or reason is not null),
  exclude using gist (source_id with =, stage with =, generation with =, extent with &&)
);
comment on table mendflow.chunk is 'The checkpoint: one row per range that was committed, in the transaction of its rows. Ranges exclude each other, so nothing is loaded twice.';
comment on column mendflow.chunk.source_id is 'The source.';
comment on column mendflow.chunk.stage is 'The stage as declared; coverage belongs to source and stage, not to the run.';
comment on column mendflow.chunk.generation is 'The generation that loaded the range.';
comment on column mendflow.chunk.extent is 'Byte range in the decoded stream.';
comment on column mendflow.chunk.run_key is 'The run that accounts for it.';
comment on column mendflow.chunk.epoch is 'Lease epoch of the writer, for finding out later who wrote what.';
comment on column mendflow.chunk.first_line is 'Physical line number of the first record, from 1.';
comment on column mendflow.chunk.read is 'Records in the range; always the sum of the four bins.';
comment on column mendflow.chunk.loaded is 'Records whose rows were written.';
comment on column mendflow.chunk.duplicate is 'Records whose rows were there before, unchanged.';
comment on column mendflow.chunk.quarantined is 'Records that became dead letters.';
comment on column mendflow.chunk.skipped is 'Records left out on purpose.';
comment on column mendflow.chunk.rows_out is 'Rows of the target that stand for the range; differs from loaded only in stages that are not one to one.';
comment on column mendflow.chunk.counted is 'False where a range was given up unread: how many records it holds is unknown, and stated as such.';
comment on column mendflow.chunk.reason is 'Why a range was skipped: aborted by ..., loss accepted by ....';
comment on column mendflow.chunk.raw_sha256 is 'Over the bytes of the range: proves later that a file still holds what was loaded. Null for ranges that were not read.';
comment on column mendflow.chunk.rows_sha256 is 'Over the encoded rows as they were sent.';
comment on column mendflow.chunk.at is 'When it was written.';
create index chunk_run on mendflow.chunk (run_key, generation);

create table mendflow.lease (
  run_key text not null,
  stage text not null,
  lane smallint not null default 0,
  epoch bigint not null,
  token uuid not null,
  attempt_at timestamptz not null,
  holder text not null,
  primary key (run_key, stage, lane)
) with (fillfactor = 50);
comment on table mendflow.lease is 'Who may write for a stage of a run. Every chunk locks its lane as its last statement, so a writer that was replaced cannot commit.';
comment on column mendflow.lease.run_key is 'The run.';
comment on column mendflow.lease.stage is 'The stage with the name of the single call, such as ingest[a.log].';
comment on column mendflow.lease.lane is 'One per parallel connection, from 0; all lanes of a lease share epoch and token.';
comment on column mendflow.lease.epoch is 'Raised by one at each take-over and when the run is closed.';
comment on column mendflow.lease.token is 'Random, so that an epoch counted twice after a restore never lets two writers in.';
comment on column mendflow.lease.attempt_at is 'When Temporal scheduled the holder: an older attempt never takes the lease back.';
comment on column mendflow.lease.holder is 'host:pid, for people.';

create function mendflow.fence(k text, s text, l smallint, e bigint, t uuid) returns void language plpgsql as $$
begin
  perform 1 from mendflow.lease where run_key = k and stage = s and lane = l and epoch = e and token = t for share;
  if not found then raise exception 'fenced' using errcode = 'MF001'; end if;
end $$;
comment on function mendflow.fence(text, text, smallint, bigint, uuid) is 'Last statement before COMMIT: fails with MF001 if the lease was taken over, and else holds off a take-over until the commit is decided.';

create table mendflow.strike (
  source_id bigint not null references mendflow.source,
  stage text not null,
  generation int not null,
  off bigint not null,
  run_key text not null,
  records int not null,
  zone int not null default 0,
  strikes int not null,
  at timestamptz not null default clock_timestamp(),
  primary key (source_id, stage, generation, off)
);
comment on table mendflow.strike is 'Safe mode: the range in flight, committed before it is parsed and removed with its chunk. What is left over killed a worker.';
comment on column mendflow.strike.source_id is 'The source.';
comment on column mendflow.strike.stage is 'The stage as declared.';
comment on column mendflow.strike.generation is 'The generation.';
comment on column mendflow.strike.off is 'Where the range in flight begins.';
comment on column mendflow.strike.run_key is 'The run that was reading.';
comment on column mendflow.strike.records is 'How many records were asked for; 1 while a range that was struck three times is bisected.';
comment on column mendflow.strike.zone is 'Records left of the range that is being worked one by one.';
comment on column mendflow.strike.strikes is 'How many times work on this range began and did not end.';
comment on column mendflow.strike.at is 'When work on it began last.';

create table mendflow.dead_letter (
  id uuid primary key,
  source_id bigint not null references mendflow.source,
  off bigint not null,
  len bigint not null,
  line_no bigint,
  stage text not null,
  run_key text not null,
  generation int not null,
  raw bytea,
  raw_whole boolean not null,
  raw_sha256 bytea not null,
  detail bytea not null,
  key_id text not null,
  code text not null,
  fingerprint bytea not null,
  business_key bytea,
  sample boolean not null default false,
  state text not null default 'open' check (state in ('open', 'redriving', 'resolved', 'discarded', 'expired', 'superseded')),
  tries int not null default 0,
  at timestamptz not null default clock_timestamp()
);
comment on table mendflow.dead_letter is 'A record that could not be loaded, written in the transaction of its chunk. Everything that came from the record is sealed or hashed.';
comment on column mendflow.dead_letter.id is 'UUID v5 of (source_id, off, stage): the same record is the same letter, however often it is read.';
comment on column mendflow.dead_letter.source_id is 'The source.';
comment on column mendflow.dead_letter.off is 'Byte offset of the record in the decoded stream.';
comment on column mendflow.dead_letter.len is 'Bytes of the record.';
comment on column mendflow.dead_letter.line_no is 'Physical line, from 1; null if not known.';
comment on column mendflow.dead_letter.stage is 'The stage as declared.';
comment on column mendflow.dead_letter.run_key is 'The run that wrote it last.';
comment on column mendflow.dead_letter.generation is 'The generation that wrote it last.';
comment on column mendflow.dead_letter.raw is 'Sealed: the bytes of the record, at most 64 KiB of them.';
comment on column mendflow.dead_letter.raw_whole is 'False if raw was cut.';
comment on column mendflow.dead_letter.raw_sha256 is 'Over the whole record, also where raw was cut.';
comment on column mendflow.dead_letter.detail is 'Sealed JSON: all violations with their texts, which quote the record.';
comment on column mendflow.dead_letter.key_id is 'Which key sealed it.';
comment on column mendflow.dead_letter.code is 'Code of the first violation.';
comment on column mendflow.dead_letter.fingerprint is 'What groups letters: stage, codes and fields, without values.';
comment on column mendflow.dead_letter.business_key is 'Keyed hash of the business key, where the pipeline declares one.';
comment on column mendflow.dead_letter.sample is 'True if a stop at the quarantine limit kept it as evidence: its chunk is not in the ledger.';
comment on column mendflow.dead_letter.state is 'open, redriving, resolved, discarded, expired, or superseded by a later reading of the same bytes.';
comment on column mendflow.dead_letter.tries is 'How often it was sent through again.';
comment on column mendflow.dead_letter.at is 'When it was written.';
create unique index dead_letter_live on mendflow.dead_letter (source_id, off, stage) where state in ('open', 'redriving');
create index dead_letter_run on mendflow.dead_letter (run_key, at);
create index dead_letter_group on mendflow.dead_letter (fingerprint) where state = 'open';

create table mendflow.movement (
  letter_id uuid not null references mendflow.dead_letter,
  no int not null,
  from_bin text not null check (from_bin in ('loaded', 'duplicate', 'skipped', 'quarantined')),
  to_bin text not null check (to_bin in ('loaded', 'duplicate', 'skipped', 'quarantined')),
  redrive text,
  actor text,
  reason text,
  at timestamptz not null default clock_timestamp(),
  primary key (letter_id, no)
);
comment on table mendflow.movement is 'A record that changed its bin after its chunk was committed. Append-only: balance = sum of chunks + sum of movements.';
comment on column mendflow.movement.letter_id is 'The letter whose record moved.';
comment on column mendflow.movement.no is 'Counts the movements of a letter, from 1.';
comment on column mendflow.movement.from_bin is 'The bin it left.';
comment on column mendflow.movement.to_bin is 'The bin it is in now.';
comment on column mendflow.movement.redrive is 'The redrive that moved it.';
comment on column mendflow.movement.actor is 'Who moved it.';
comment on column mendflow.movement.reason is 'Why.';
comment on column mendflow.movement.at is 'When.';

create function mendflow.append_only() returns trigger language plpgsql as $$
begin
  raise exception 'Table %.% is append-only; write a new row instead.', tg_table_schema, tg_table_name using errcode = '42501';
end $$;
comment on function mendflow.append_only() is 'Refuses changes to tables that are evidence.';
create trigger movement_append_only before update or delete or truncate on mendflow.movement
  for each statement execute function mendflow.append_only();

create function mendflow.name_text(name bytea) returns text language plpgsql immutable as $$
begin
  return convert_from(name, 'UTF8');
exception when others then
  return encode(name, 'escape');
end $$;
comment on function mendflow.name_text(bytea) is 'The name of a source for people; bytes that are no UTF-8 are shown as octal escapes.';

create table log_entries (
  source_id bigint not null,
  "offset" bigint not null,
  line_no bigint not null,
  ts timestamptz,
  severity text,
  module text,
  message text,
  attributes jsonb,
  data_date date not null,
  generation int not null,
  primary key (source_id, "offset")
);
comment on table log_entries is 'Log records loaded by the pipeline log-ingest, one row each.';
comment on column log_entries.source_id is 'The file; see mendflow.source.';
comment on column log_entries."offset" is 'Byte offset of the record in the decoded file; with source_id the key.';
comment on column log_entries.line_no is 'Physical line of the record''s first line, from 1. Informational.';
comment on column log_entries.ts is 'Time the record states.';
comment on column log_entries.severity is 'Severity as the format declares it.';
comment on column log_entries.module is 'What wrote the record.';
comment on column log_entries.message is 'Message, continuation lines included.';
comment on column log_entries.attributes is 'What the format has beyond the common columns.';
comment on column log_entries.data_date is 'Data date of the run that loaded the row.';
comment on column log_entries.generation is 'Generation that wrote the row last.';

create view log_entries_by_path as
  select mendflow.name_text(s.name) as path, s.version as source_version, e.*
  from log_entries e join mendflow.source s on s.id = e.source_id;
comment on view log_entries_by_path is 'log_entries with the path of the file as text.';
