insert into price_days (day, shop, items, run)
select data_date, shop, count(*), :'run_key' from prices where data_date = :'data_date' group by data_date, shop
on conflict (day, shop) do update set items = excluded.items, run = excluded.run;
