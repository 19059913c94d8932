-- One row per record of the service: one that is fetched again is updated where it differs.
create table if not exists "shop_orders" (
  id text primary key,
  cents bigint not null,
  data_date date not null,
  generation int not null
);
