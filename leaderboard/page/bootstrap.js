// Paired comparison of two submissions by their bootstrap replicates, in which the same examples were drawn for both.

const replicatesLoaded = new Map();
const replicatesArrived = new Map();

/** What the files in replicates/ call. */
window.xharnessReplicates = (record) => {
  const values = new Int16Array(bytesOf(record.base64).buffer);
  if (values.length !== record.cells.length * record.resamples) return;
  const startOf = new Map(record.cells.map(([task, code], i) => [`${task}/${code}`, i * record.resamples]));
  replicatesArrived.set(record.id, { resamples: record.resamples, startOf, values });
};

// Where the browser knows trusted types, no address but one of these can become a script.
const replicatePaths = window.trustedTypes?.createPolicy("replicates", { createScriptURL: checkedPath }) ?? {
  createScriptURL: checkedPath,
};

function checkedPath(path) {
  if (!/^replicates\/[a-z0-9-]{1,60}\.js$/.test(path)) throw new TypeError("not a file of replicates");
  return path;
}

/** Return a promise of a row's replicates; of null where there are none, or they cannot be loaded. */
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

/** Return the slots of the view in which all of the rows have a score, of the same gold data. */
function sharedSlots(board, view, rows) {
  const { score, n, data } = board.columns;
  // Scores on other data, even of as many examples, would be no pairs.
  const records = data ? detailOf(rows[0]).records : [];
  const hash = (place) => (data ? records[data[place]]?.data_hash : undefined);
  const alike = (place, first) => n[place] === n[first] && hash(place) === hash(first);
  const shared = [];
  for (const task of view.tasks) {
    const slots = chosenSlots(board, task, view.benchmark, view.chosen).slots.filter((each) => {
      const places = rows.map((row) => row.index * board.width + each);
      return places.every((place) => !Number.isNaN(score[place]) && alike(place, places[0]));
    });
    if (slots.length) shared.push({ task, slots });
  }
  return shared;
}

/** Return [slot, weight] such that the weighted sum is the mean over tasks of their means over languages. */
function weightsOf(board, row, parts) {
  const weights = [];
  for (const { task, slots } of parts) {
    const examples = (each) => board.columns.n[row.index * board.width + each];
    const counts = slots.map((each) => (task.average === "examples" ? examples(each) : 1));
    const total = counts.reduce((sum, count) => sum + count, 0);
    slots.forEach((each, i) => weights.push([each, counts[i] / total / parts.length]));
  }
  return weights;
}

function weightedScore(board, row, weights) {
  return weights.reduce((sum, [each, weight]) => sum + weight * board.columns.score[row.index * board.width + each], 0);
}

/** Return the weighted sums of a row's replicates, one for each resample, in percent; null where some are missing. */
function weightedReplicates(board, replicates, weights) {
  if (!replicates) return null;
  const sums = new Float64Array(replicates.resamples);
  for (const [each, weight] of weights) {
    const start = replicates.startOf.get(board.slots[each].join("/"));
    if (start === undefined) return null;
    for (let i = 0; i < sums.length; i++) sums[i] += (weight * replicates.values[start + i]) / 100;
  }
  return sums;
}

/** Return the ends between which 95 % of the values lie, between neighbours in proportion. */
function middle(values) {
  const sorted = Float64Array.from(values).sort();
  const at = (share) => {
    const place = share * (sorted.length - 1);
    const below = Math.floor(place);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
  };
  return [at(0.025), at(0.975)];
}

/** What is less than this is noise of adding up: replicates are whole hundredths, so sums are often exactly alike. */
const NOISE = 1e-9;

/**
 * Return the difference of two rows over the same slots, with interval and p where both have replicates.
 *
 * p is two-sided: twice the share of resamples on the other side of zero. One is added to both numbers, so that it is
 * never 0: of 200 resamples it cannot be less than 0.01.
 */
function differenceOf(board, [a, b], [first, second], parts) {
  const weights = weightsOf(board, a, parts);
  const made = { a: weightedScore(board, a, weights), b: weightedScore(board, b, weights), interval: null, p: null };
  made.difference = made.a - made.b;
  const ours = weightedReplicates(board, first, weights);
  const theirs = weightedReplicates(board, second, weights);
  if (!ours || !theirs || ours.length !== theirs.length) return made;
  const differences = ours.map((value, i) => {
    const difference = value - theirs[i];
    return Math.abs(difference) < NOISE ? 0 : difference;
  });
  const under = differences.filter((value) => value <= 0).length;
  const over = differences.filter((value) => value >= 0).length;
  made.interval = middle(differences);
  made.p = Math.min(1, (2 * (Math.min(under, over) + 1)) / (differences.length + 1));
  made.clear = made.p < 0.05 && (made.interval[0] > 0 || made.interval[1] < 0);
  return made;
}

/** Return the differences of two rows: of the average, of each task and each language, and of each task's languages. */
function comparison(board, view, pair, loaded) {
  const shared = sharedSlots(board, view, pair);
  const difference = (parts) => differenceOf(board, pair, loaded, parts);
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
