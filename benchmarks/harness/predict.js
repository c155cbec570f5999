// The load on Predict: each client sends random users with random distinct ads and waits for the answer.
// Reads __ENV.SPEC (JSON, written by load.py) and writes a summary to the file it names.
import grpc from 'k6/net/grpc';
import { randomSeed } from 'k6';
import { Counter } from 'k6/metrics';
import exec from 'k6/execution';

const spec = JSON.parse(open(__ENV.SPEC));
const client = new grpc.Client();
client.load([spec.proto_folder], spec.proto_file);
const failed = new Counter('failed');
const ads = spec.ads.slice();
let connected = false;

export const options = {
  scenarios: { load: { executor: 'constant-vus', vus: spec.clients, duration: `${spec.seconds}s`, gracefulStop: '5s' } },
  summaryTrendStats: ['med', 'p(99)', 'count'],
};

function choose(array) {
  return array[Math.floor(Math.random() * array.length)];
}

// First steps of a Fisher-Yates shuffle: distinct ads, in place, whatever stood there before.
function candidates() {
  for (let i = 0; i < spec.candidates; i++) {
    const j = i + Math.floor(Math.random() * (ads.length - i));
    const ad = ads[i];
    ads[i] = ads[j];
    ads[j] = ad;
  }
  return ads.slice(0, spec.candidates);
}

export default function () {
  if (!connected) {
    randomSeed(spec.seed + exec.vu.idInTest);
    client.connect(spec.address, { plaintext: true });
    connected = true;
  }
  const request = { user_id: choose(spec.users), ad_ids: candidates(), context: choose(spec.contexts) };
  const answer = client.invoke(spec.method, request, { discardResponseMessage: true });
  if (answer.status !== grpc.StatusOK) {
    failed.add(1);
    if (exec.vu.iterationInScenario === 0) console.error(JSON.stringify(answer.error));
  }
}

export function handleSummary(data) {
  const latency = data.metrics.grpc_req_duration.values;
  const summary = {
    requests: latency.count,
    p50_ms: latency.med,
    p99_ms: latency['p(99)'],
    failed: data.metrics.failed ? data.metrics.failed.values.count : 0,
    seconds: data.state.testRunDurationMs / 1000,
  };
  return { [spec.summary]: JSON.stringify(summary) };
}
