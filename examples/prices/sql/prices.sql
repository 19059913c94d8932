create table if not exists prices (
  shop text not null,
  item text not null,
  cents bigint not null,
  revision bigint not null,
  data_date date not null,
  generation int not null,
  primary key (shop, item)
);
create table if not exists price_days (day date not null, shop text not null, items bigint not null, run text not null, primary key (day, shop));
