-- Up Migration
-- What a run lost because somebody accepted it, where such a loss can be accepted at all, and why a letter is not open any more.
alter table mendflow.chunk add column lost int not null default 0 check (lost >= 0);
comment on column mendflow.chunk.lost is 'Records of the range that were given up unread, and rows that an earlier generation had for it and this one has not: accepted by whom the reason names.';

alter table mendflow.parked_run add column accepts_loss boolean not null default false;
comment on column mendflow.parked_run.accepts_loss is 'True where accept-loss would do what it says, so that it is offered.';

alter table mendflow.dead_letter add column reason text;
comment on column mendflow.dead_letter.reason is 'Why it is not open any more, where somebody decided that.';

-- Down Migration
alter table mendflow.dead_letter drop column reason;
alter table mendflow.parked_run drop column accepts_loss;
alter table mendflow.chunk drop column lost;
