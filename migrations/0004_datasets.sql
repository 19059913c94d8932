-- Up Migration
-- Datasets: records kept between the stages of a run. A stage hands on a reference; the records stay here, in compressed parts,
-- and are written in the transaction of the ledger that accounts for them.
create table mendflow.dataset (
  id uuid primary key default gen_random_uuid(),
  run_key text not null references mendflow.run,
  generation int not null,
  stage text not null,
  name text not null default '',
  schema text not null,
  state text not null default 'building' check (state in ('building', 'sealed', 'gone')),
  source_id bigint references mendflow.source,
  passed boolean not null default false,
  derived boolean not null default false,
  records bigint check (records >= 0),
  bytes bigint check (bytes >= 0),
  sha256 bytea,
  as_of timestamptz not null,
  origin text not null default 'live' check (origin in ('live', 'snapshot', 'backup')),
  proof jsonb,
  created_at timestamptz not null default clock_timestamp(),
  sealed_at timestamptz,
  gone_at timestamptz,
  check (sealed_at is null or (source_id is not null and records is not null and bytes is not null and sha256 is not null)),
  check (state <> 'sealed' or sealed_at is not null),
  check ((state = 'gone') = (gone_at is not null))
);
comment on table mendflow.dataset is 'Records that one stage made for another. Sealed once, then never changed; when its records are collected the row stays, and says so.';
comment on column mendflow.dataset.id is 'What travels between stages.';
comment on column mendflow.dataset.run_key is 'The run that made it; while that run is open in this generation, the dataset is kept.';
comment on column mendflow.dataset.generation is 'Generation of the run that made it.';
comment on column mendflow.dataset.stage is 'Stage key that made it, and that is done again if the records are lost.';
comment on column mendflow.dataset.name is 'Which of several datasets of that stage; empty for the only one.';
comment on column mendflow.dataset.schema is 'Name and version of what a record looks like. A reader that expects another one has the stage done again.';
comment on column mendflow.dataset.state is 'building (parts are added), sealed (may be read), gone (its parts were removed).';
comment on column mendflow.dataset.source_id is 'As what later stages read it: positions are byte offsets in its lines. The same bytes keep their source from one generation to the next.';
comment on column mendflow.dataset.passed is 'True if its records are in the ledger as passed on, so that some stage has to read them before the run can close.';
comment on column mendflow.dataset.derived is 'True for aggregates: rows made from many records, which are no records of their own and are counted as rows only.';
comment on column mendflow.dataset.records is 'Lines.';
comment on column mendflow.dataset.bytes is 'Bytes of all lines, unpacked.';
comment on column mendflow.dataset.sha256 is 'Over all lines, unpacked.';
comment on column mendflow.dataset.as_of is 'As of when the oldest of its inputs was fetched.';
comment on column mendflow.dataset.origin is 'live, or from where it was taken instead.';
comment on column mendflow.dataset.proof is 'What shows that it is complete: totals before and after, pages, losses that an operator accepted.';
comment on column mendflow.dataset.created_at is 'When its stage began it.';
comment on column mendflow.dataset.sealed_at is 'When it was complete.';
comment on column mendflow.dataset.gone_at is 'When its parts were removed.';
create unique index dataset_live on mendflow.dataset (run_key, generation, stage, name) where state <> 'gone';
create index dataset_collectable on mendflow.dataset (created_at) where state <> 'gone';

create table mendflow.dataset_part (
  dataset_id uuid not null references mendflow.dataset on delete cascade,
  at bigint not null,
  piece int not null,
  records int not null check (records > 0),
  bytes int not null check (bytes > 0),
  sha256 bytea not null,
  body bytea not null check (octet_length(body) <= 1048576),
  primary key (dataset_id, at, piece)
);
alter table mendflow.dataset_part alter column body set storage external;
comment on table mendflow.dataset_part is 'The lines of a dataset, whole ones, compressed. In the order of (at, piece) they are its stream.';
comment on column mendflow.dataset_part.dataset_id is 'The dataset.';
comment on column mendflow.dataset_part.at is 'Where in the source of its stage the chunk began, or which part it is where there is no such source.';
comment on column mendflow.dataset_part.piece is 'Counts the parts of a chunk, from 0.';
comment on column mendflow.dataset_part.records is 'Lines in it.';
comment on column mendflow.dataset_part.bytes is 'Bytes unpacked.';
comment on column mendflow.dataset_part.sha256 is 'Over the body as it is stored.';
comment on column mendflow.dataset_part.body is 'gzip, at most 1 MiB. Stored as it is: packing it twice gains nothing.';

create table mendflow.dataset_pin (
  dataset_id uuid not null references mendflow.dataset on delete restrict,
  kind text not null check (kind in ('snapshot', 'letter', 'legal')),
  ref text not null,
  at timestamptz not null default clock_timestamp(),
  primary key (dataset_id, kind, ref)
);
comment on table mendflow.dataset_pin is 'What keeps a dataset beyond its run. An open or parked run needs no row: its state keeps its datasets.';
comment on column mendflow.dataset_pin.dataset_id is 'The dataset.';
comment on column mendflow.dataset_pin.kind is 'snapshot, letter, or legal (a hold that somebody set by hand).';
comment on column mendflow.dataset_pin.ref is 'What needs it.';
comment on column mendflow.dataset_pin.at is 'Since when.';

alter table mendflow.chunk add column passed int not null default 0 check (passed >= 0);
alter table mendflow.chunk drop constraint chunk_check;
alter table mendflow.chunk add constraint chunk_bins check (read = loaded + duplicate + quarantined + skipped + passed);
comment on column mendflow.chunk.passed is 'Records handed on to a later stage in a dataset: in no bin here, because they are read again there.';
comment on column mendflow.chunk.read is 'Records in the range; always the sum of the four bins and of those passed on.';
