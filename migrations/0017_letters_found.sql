-- Up Migration
-- A record that is found bad again keeps its letter, whose contents are then those of the last time.
alter table mendflow.dead_letter add column last_at timestamptz;
comment on column mendflow.dead_letter.at is 'When the record was found bad first.';
comment on column mendflow.dead_letter.last_at is 'When it was found bad last, if it was again.';

-- Down Migration
alter table mendflow.dead_letter drop column last_at;
