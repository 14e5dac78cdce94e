// Paired bootstrap: compare two submissions by replicates for which the same examples were drawn.

const replicatesLoaded = new Map();
const replicatesArrived = new Map();

/** Called by the files in replicates/. */
window.xharnessReplicates = (record) => {
  const values = new Int16Array(decodeBase64(record.base64).buffer);
  if (values.length !== record.cells.length * record.resamples) return;
  const startOf = new Map(record.cells.map(([task, code], i) => [`${task}/${code}`, i * record.resamples]));
  replicatesArrived.set(record.id, { resamples: record.resamples, startOf, values });
};

// In browsers with trusted types, only such a path can become a script URL.
const replicatePaths = window.trustedTypes?.createPolicy("replicates", { createScriptURL: checkedPath }) ?? {
  createScriptURL: checkedPath,
};

function checkedPath(path) {
  if (!/^replicates\/[a-z0-9-]{1,60}\.js$/.test(path)) throw new TypeError("not a file of replicates");
  return path;
}

/** Return a promise of a row's replicates, or of null if there are none or they cannot be loaded. */
function replicatesOf(row) {
  if (!row.replicates) return Promise.resolve(null);
  if (!replicatesLoaded.has(row.id)) {
    const loaded = new Promise((resolve) => {
      const script = document.createElement("script");
      script.src = replicatePaths.createScriptURL(row.replicates);
      script.onload = () => resolve(replicatesArrived.get(row.id) ?? null);
      script.onerror = () => resolve(null);
      document.head.append(script);
    });
    replicatesLoaded.set(row.id, loaded);
  }
  return replicatesLoaded.get(row.id);
}

/** Return the slots of the view in which all rows have a score on the same gold data. */
function sharedSlots(board, view, rows) {
  const { score, n, data } = board.columns;
  // Scores on different data are not paired, even with the same number of examples.
  const records = data ? detailsOf(rows[0]).records : [];
  const hash = (index) => (data ? records[data[index]]?.data_hash : undefined);
  const isSameData = (index, first) => n[index] === n[first] && hash(index) === hash(first);
  const shared = [];
  for (const task of view.tasks) {
    const slots = chosenSlots(board, task, view.benchmark, view.chosen).slots.filter((each) => {
      const indices = rows.map((row) => row.index * board.width + each);
      return indices.every((index) => !Number.isNaN(score[index]) && isSameData(index, indices[0]));
    });
    if (slots.length) shared.push({ task, slots });
  }
  return shared;
}

/** Return [slot, weight] such that the weighted sum is the mean over tasks of their means over languages. */
function weightsOf(board, row, parts) {
  const weights = [];
  for (const { task, slots } of parts) {
    const examples = (slotIndex) => board.columns.n[row.index * board.width + slotIndex];
    const counts = slots.map((slotIndex) => (task.average === "examples" ? examples(slotIndex) : 1));
    const total = counts.reduce((sum, count) => sum + count, 0);
    slots.forEach((slotIndex, i) => weights.push([slotIndex, counts[i] / total / parts.length]));
  }
  return weights;
}

function weightedScore(board, row, weights) {
  const start = row.index * board.width;
  return weights.reduce((sum, [slotIndex, weight]) => sum + weight * board.columns.score[start + slotIndex], 0);
}

/** Return the weighted sums of a row's replicates, one per resample, in percent; null if some are missing. */
function weightedReplicates(board, replicates, weights) {
  if (!replicates) return null;
  const sums = new Float64Array(replicates.resamples);
  for (const [slotIndex, weight] of weights) {
    const start = replicates.startOf.get(board.slots[slotIndex].join("/"));
    if (start === undefined) return null;
    for (let i = 0; i < sums.length; i++) sums[i] += (weight * replicates.values[start + i]) / 100;
  }
  return sums;
}

/** Return the 2.5th and 97.5th percentiles of values, with linear interpolation. */
function interval95(values) {
  const sorted = Float64Array.from(values).sort();
  const at = (share) => {
    const index = share * (sorted.length - 1);
    const below = Math.floor(index);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (index - below) * (sorted[above] - sorted[below]);
  };
  return [at(0.025), at(0.975)];
}

/** Smaller differences are rounding errors: replicates are whole hundredths, so sums are often exactly equal. */
const NOISE = 1e-9;

/**
 * Return the difference of two rows over the same slots, with interval and p if both have replicates.
 *
 * p is two-sided: twice the share of resamples on the other side of zero. One is added to both counts, so p is never
 * 0: with 200 resamples it is at least 0.01.
 */
function pairedDifference(board, [a, b], [first, second], parts) {
  const weights = weightsOf(board, a, parts);
  const result = { a: weightedScore(board, a, weights), b: weightedScore(board, b, weights), interval: null, p: null };
  result.difference = result.a - result.b;
  const ours = weightedReplicates(board, first, weights);
  const theirs = weightedReplicates(board, second, weights);
  if (!ours || !theirs || ours.length !== theirs.length) return result;
  const differences = ours.map((value, i) => {
    const difference = value - theirs[i];
    return Math.abs(difference) < NOISE ? 0 : difference;
  });
  const under = differences.filter((value) => value <= 0).length;
  const over = differences.filter((value) => value >= 0).length;
  result.interval = interval95(differences);
  result.p = Math.min(1, (2 * (Math.min(under, over) + 1)) / (differences.length + 1));
  result.clear = result.p < 0.05 && (result.interval[0] > 0 || result.interval[1] < 0);
  return result;
}

/** Return the differences of two rows: average, every task, every language, and every language of every task. */
function comparison(board, view, pair, loaded) {
  const shared = sharedSlots(board, view, pair);
  const difference = (parts) => pairedDifference(board, pair, loaded, parts);
  const cellOf = ({ task, slots }) => slots.map((each) => ({ task, code: board.slots[each][1], slots: [each] }));
  const cells = shared.flatMap(cellOf);
  const languages = board.languages.filter(({ code }) => cells.some((cell) => cell.code === code));
  return {
    shared,
    average: shared.length ? difference(shared) : null,
    tasks: shared.map((part) => ({ task: part.task, count: part.slots.length, ...difference([part]) })),
    languages: languages.map((language) => {
      const parts = cells.filter((cell) => cell.code === language.code);
      return { language, count: parts.length, ...difference(parts) };
    }),
    cells: cells.map((cell) => ({ ...cell, ...difference([cell]) })),
  };
}
