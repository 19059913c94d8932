-- Up Migration
-- What is covered is what was committed. A plan is an intention: plans of several runs may overlap, and the ledger of chunks alone
-- decides who loaded a byte. A source belongs to the place its records go to: another table is another coverage.
alter table mendflow.source add column target text not null default '';
alter table mendflow.source add column head bytea;
comment on column mendflow.source.target is 'Table that its records go to, as declared; empty where they go to none. The same file for another table is another source.';
comment on column mendflow.source.head is 'Hash of its first bytes, 64 at most: finds the same bytes under another name. Where to look, never a proof.';
update mendflow.source set target = 'log_entries' where pipeline = 'log-ingest';
alter table mendflow.source drop constraint source_pipeline_name_version_key;
alter table mendflow.source add constraint source_name unique (pipeline, target, name, version);
create index source_head on mendflow.source (pipeline, target, head);
alter table mendflow.source add column long_head bytea, add column long_bytes int, add column settled boolean not null default false;
comment on column mendflow.source.long_head is 'Hash of its first bytes, 4,096 at most: tells files apart that have the same header.';
comment on column mendflow.source.long_bytes is 'How many bytes that is the hash of.';
comment on column mendflow.source.settled is 'True where all that was committed of it is one chunk with those bytes in it: a file that begins otherwise holds nothing of it.';
create index source_long_head on mendflow.source (pipeline, target, long_head) where settled;
create index source_unsettled on mendflow.source (pipeline, target, head) where not settled;

alter table mendflow.slice drop constraint slice_source_id_stage_generation_extent_excl;
alter table mendflow.slice add column call text;
alter table mendflow.slice add column place bytea;
alter table mendflow.slice add column seen jsonb;
comment on table mendflow.slice is 'The plan: which bytes of a source a run covers. Written before the first chunk; made again only while the run has committed nothing of it. It reserves nothing.';
comment on column mendflow.slice.call is 'The stage with the name of the single call, such as ingest[a.log].';
comment on column mendflow.slice.place is 'Path under which the run reads it, as bytes.';
comment on column mendflow.slice.seen is 'Inode, size and times when it was planned: another state of the file is looked at closely.';
create index slice_source on mendflow.slice (source_id, stage);
create index slice_call on mendflow.slice (run_key, call);

alter table mendflow.chunk add column left_open boolean not null default false;
comment on column mendflow.chunk.left_open is 'True where a run was ended early: nobody has read these bytes, so a later run may.';
alter table mendflow.chunk drop constraint chunk_source_id_stage_generation_extent_excl;
alter table mendflow.chunk add constraint chunk_once exclude using gist (source_id with =, stage with =, extent with &&) where (generation = 1 and raw_sha256 is not null);
alter table mendflow.chunk add constraint chunk_once_a_run exclude using gist (source_id with =, stage with =, extent with &&, generation with =, run_key with =);
comment on table mendflow.chunk is 'The checkpoint: one row per range that was committed, in the transaction of its rows. What was read a first time excludes any other first reading, whichever run it is of; a reprocessing excludes itself.';

create function mendflow.covered(k text, g int, st text, s bigint, w int8range) returns int8multirange language sql stable as $$
  select coalesce(range_agg(extent), '{}'::int8multirange) from mendflow.chunk
  where source_id = s and stage = st and extent && w
    and (run_key = k and generation = g or g = 1 and run_key <> k and not left_open)
$$;
comment on function mendflow.covered(text, int, text, bigint, int8range) is 'What of a range a generation of a run need not read: what it committed or gave up itself, and, the first time, what other runs did.';

create function mendflow.claim(k text, g int, st text, s bigint, e int8range) returns boolean language plpgsql as $$
declare
  room constant int := 1179209805;
begin
  if g = 1 then
    perform pg_advisory_xact_lock_shared(room, hashint8(s));
    return not exists (select from mendflow.chunk where source_id = s and stage = st and generation > 1 and run_key <> k and counted and extent && e);
  end if;
  if exists (select from mendflow.slice p join mendflow.run r on r.key = p.run_key and r.generation = p.generation
      where p.source_id = s and p.stage = st and p.generation = 1 and p.run_key <> k and p.extent && e and r.state in ('running', 'parked', 'asking')) then
    perform pg_advisory_xact_lock(room, hashint8(s));
  end if;
  return true;
end $$;
comment on function mendflow.claim(text, int, text, bigint, int8range) is 'Whether a chunk may enter the ledger. A first reading writes rows without looking, so it must not follow a reprocessing of the same bytes by another run, nor meet one.';

create table mendflow.run_note (
  run_key text not null,
  generation int not null,
  stage text not null,
  text text not null,
  at timestamptz not null default clock_timestamp(),
  primary key (run_key, generation, stage, text)
);
comment on table mendflow.run_note is 'What a run has to say besides its figures: which run loaded a file before, what was taken for a copy, what was left to whom.';
comment on column mendflow.run_note.run_key is 'The run.';
comment on column mendflow.run_note.generation is 'Its generation.';
comment on column mendflow.run_note.stage is 'The stage with the name of the single call.';
comment on column mendflow.run_note.text is 'A sentence for people; no value of a record.';
comment on column mendflow.run_note.at is 'When it was said first.';

alter table mendflow.dead_letter add column earlier_runs text[] not null default '{}';
comment on column mendflow.dead_letter.earlier_runs is 'Other runs that quarantined the same record before, and count it as well.';
create index dead_letter_earlier on mendflow.dead_letter using gin (earlier_runs);
create function mendflow.letters_of(k text) returns setof mendflow.dead_letter language sql stable as $$
  select l.* from mendflow.dead_letter l where l.run_key = k or l.earlier_runs @> array[k]
$$;
comment on function mendflow.letters_of(text) is 'Letters of a run: a record that several runs quarantined is one letter, and is listed for each of them.';

-- Down Migration
drop function mendflow.letters_of(text);
drop index mendflow.dead_letter_earlier;
alter table mendflow.dead_letter drop column earlier_runs;
drop table mendflow.run_note;
drop function mendflow.claim(text, int, text, bigint, int8range);
drop function mendflow.covered(text, int, text, bigint, int8range);
alter table mendflow.chunk drop constraint chunk_once_a_run, drop constraint chunk_once, drop column left_open;
alter table mendflow.chunk add exclude using gist (source_id with =, stage with =, generation with =, extent with &&);
drop index mendflow.slice_call;
drop index mendflow.slice_source;
alter table mendflow.slice drop column seen, drop column place, drop column call;
alter table mendflow.slice add exclude using gist (source_id with =, stage with =, generation with =, extent with &&);
drop index mendflow.source_unsettled;
drop index mendflow.source_long_head;
alter table mendflow.source drop column settled, drop column long_bytes, drop column long_head;
drop index mendflow.source_head;
alter table mendflow.source drop constraint source_name, drop column head, drop column target;
alter table mendflow.source add unique (pipeline, name, version);
