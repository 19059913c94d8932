-- Up Migration
-- What programs have to find among the sentences for people stands in columns: a sentence is cut at its end, and worded anew some day.
alter table mendflow.run_note add column kind text not null default 'told' check (kind in ('told', 'mistake', 'left')), add column about text not null default '';
comment on column mendflow.run_note.kind is 'mistake: code is wrong and not its records; left: bytes were left to another run; told: for people alone.';
comment on column mendflow.run_note.about is 'Of left: the run that the bytes were left to.';
update mendflow.run_note set kind = 'mistake' where starts_with(text, 'The code of ');
update mendflow.run_note set kind = 'left',
    about = substring(text from ' are planned by run (.*), which was [a-z]+ at [^ ]+ what of them was not loaded then is left to it\.$')
  where text ~ ' are planned by run .*, which was [a-z]+ at [^ ]+ what of them was not loaded then is left to it\.$';

-- Two sentences may be the same after the cut. A hash, because an index takes no row of 1,000 letters of three bytes.
alter table mendflow.run_note drop constraint run_note_pkey;
create unique index run_note_once on mendflow.run_note (run_key, generation, stage, kind, about, md5(text));

-- Down Migration
drop index mendflow.run_note_once;
delete from mendflow.run_note n where exists (select from mendflow.run_note o
  where (o.run_key, o.generation, o.stage, o.text) = (n.run_key, n.generation, n.stage, n.text) and o.ctid < n.ctid);
alter table mendflow.run_note add primary key (run_key, generation, stage, text);
alter table mendflow.run_note drop column kind, drop column about;
