-- Up Migration
-- A log that was altered and then moved is found by the file it was seen as, and by the path it was seen under, however many sources there are.
create index source_inode on mendflow.source ((hint->>'inode'));
create index source_place on mendflow.source using hash ((hint->>'path'));

create function mendflow.source_text(name bytea, hint jsonb) returns text language sql immutable as $$
  select case
    when hint ->> 'inode' is null then mendflow.name_text(name)
    when decode(hint ->> 'path', 'base64') = '/'::bytea || name || '.gz'::bytea then mendflow.name_text('/'::bytea || name || '.gz'::bytea)
    else mendflow.name_text('/'::bytea || name) end
$$;
comment on function mendflow.source_text(bytea, jsonb) is 'A source for people: of a file the path of its log, to be pasted, with the suffix it has there now; of anything else its name.';
create or replace view log_entries_by_path as
  select mendflow.source_text(s.name, s.hint) as path, s.version as source_version, e.*
  from log_entries e join mendflow.source s on s.id = e.source_id;
comment on view log_entries_by_path is 'log_entries with the absolute path of the log as text.';

-- Down Migration
create or replace view log_entries_by_path as
  select mendflow.name_text(s.name) as path, s.version as source_version, e.*
  from log_entries e join mendflow.source s on s.id = e.source_id;
comment on view log_entries_by_path is 'log_entries with the path of the file as text.';
drop function mendflow.source_text(bytea, jsonb);
drop index mendflow.source_place;
drop index mendflow.source_inode;
