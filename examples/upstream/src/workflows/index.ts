// Every pipeline, as one workflow entry: Temporal bundles this file.
import { pipelines } from 'mendflow/workflow';
import { shopOrders } from './shop-orders.ts';

export default pipelines(
  shopOrders,
  // mendflow new adds pipelines above this line.
);
