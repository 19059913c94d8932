-- Up Migration
-- Targets of daily-report: one row per earthquake and one per figure of a day. Both are written by their own keys, so loading a day again changes nothing.
create table quakes (
  id text primary key,
  data_date date not null,
  "time" timestamptz not null,
  updated timestamptz not null,
  magnitude double precision,
  magnitude_type text,
  place text,
  kind text not null,
  longitude double precision not null,
  latitude double precision not null,
  depth_km double precision,
  significance integer,
  tsunami boolean not null,
  status text,
  url text,
  generation integer not null
);
create index quakes_data_date on quakes (data_date, "time");
comment on table quakes is 'Earthquakes and other seismic events, one row each, as the upstream knew them when last read.';
comment on column quakes.id is 'Identity of the event with its upstream.';
comment on column quakes.data_date is 'UTC day of the event.';
comment on column quakes."time" is 'When it happened.';
comment on column quakes.updated is 'When the upstream last revised it. An older revision never overwrites a newer one.';
comment on column quakes.magnitude is 'Magnitude; null where none was computed.';
comment on column quakes.magnitude_type is 'How the magnitude was computed, such as ml.';
comment on column quakes.place is 'Where, in words.';
comment on column quakes.kind is 'earthquake, quarry blast, explosion, …';
comment on column quakes.longitude is 'Degrees east.';
comment on column quakes.latitude is 'Degrees north.';
comment on column quakes.depth_km is 'Depth in km; above ground it is negative.';
comment on column quakes.significance is 'How significant the upstream thinks it is, from 0.';
comment on column quakes.tsunami is 'Whether it may have caused a tsunami warning.';
comment on column quakes.status is 'automatic or reviewed.';
comment on column quakes.url is 'Page of the event.';
comment on column quakes.generation is 'Generation of the run that wrote the row last.';

create table daily_metrics (
  "date" date not null,
  metric_id text not null,
  value double precision not null,
  generation integer not null,
  primary key ("date", metric_id)
);
comment on table daily_metrics is 'Figures of a day. A day that is loaded again yields the same rows, and only what differs is written.';
comment on column daily_metrics."date" is 'The day the figure is about (data date), never the day it was computed.';
comment on column daily_metrics.metric_id is 'Which figure, such as quakes or magnitude_max.';
comment on column daily_metrics.value is 'The figure.';
comment on column daily_metrics.generation is 'Generation of the run that wrote the row last. An older one never overwrites a newer one.';
