// The ways photos come in beside the buttons: dropped, as folders or zips too, and pasted.

const PICTURE = /\.(jpe?g|png|webp|gif|bmp|tiff?|hei[cf]|avif)$/i;
const ZIP = /\.zip$/i;

/** `onFound(found, target)` for what was dropped onto `target`, the nearest `[data-drop]` or null, or pasted there;
 *  `found` is a list of `{ file, folders }`, with the names of the folders it lay in, outermost first. */
export function watchIntake(onFound) {
  const page = document.documentElement;
  let over = null;

  function mark(target) {
    over?.removeAttribute("data-over");
    over = target;
    over?.setAttribute("data-over", "");
  }

  document.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    page.classList.add("dragging");
    mark(dropPlace(event.target));
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget !== null) return;
    page.classList.remove("dragging");
    mark(null);
  });
  document.addEventListener("drop", async (event) => {
    page.classList.remove("dragging");
    mark(null);
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    const target = dropPlace(event.target);
    onFound(await foundIn(event.dataTransfer), target);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    onFound(files.map((file) => ({ file, folders: [] })), dropPlace(document.activeElement));
  });
}

const dropPlace = (element) => element?.closest?.("[data-drop]") ?? null;

/** What was chosen in a file field; a chosen folder brings its folders' names. */
export function chosenIn(input) {
  const found = [...input.files].map((file) => ({ file, folders: file.webkitRelativePath.split("/").slice(0, -1) }));
  input.value = ""; // so that the same may be chosen again
  return found;
}

/** What to do with `found`: zips to unpack, photos for one place (`loose`), photos for classes by the name of their
 *  folder (`named`, a Map), and how many files are no pictures. Photos dropped onto a class are its own, in folders or
 *  not, unless a folder of several folders came: that names classes wherever it lands. */
export function sorted(found, isOntoClass) {
  const seen = found.filter(({ file, folders }) => ![file.name, ...folders].some((name) => /^(\.|__MACOSX)/.test(name)));
  const zips = seen.filter(({ file }) => ZIP.test(file.name)).map(({ file }) => file);
  const photos = seen.filter(({ file }) => file.type.startsWith("image/") || PICTURE.test(file.name));
  const inner = new Set(photos.filter(({ folders }) => folders.length > 1).map(({ folders }) => folders.at(-1)));
  const isNamed = !isOntoClass || inner.size > 1;
  const loose = photos.filter(({ folders }) => !isNamed || folders.length === 0).map(({ file }) => file);
  const named = new Map();
  for (const { file, folders } of isNamed ? photos : []) {
    if (folders.length > 0) named.set(folders.at(-1), [...(named.get(folders.at(-1)) ?? []), file]);
  }
  return { zips, loose, named, strange: seen.length - zips.length - photos.length };
}

// The items must all be asked before the first pause: afterwards the browser has forgotten them.
async function foundIn(data) {
  const items = [...data.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const found = [];
  for (const entry of entries) {
    if (entry instanceof File) found.push({ file: entry, folders: [] });
    else if (entry) await walk(entry, [], found);
  }
  return found;
}

async function walk(entry, folders, found) {
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    if (file) found.push({ file, folders });
    return;
  }
  const reader = entry.createReader();
  for (;;) {
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (some.length === 0) return; // it gives a hundred at a time
    for (const inner of some) await walk(inner, [...folders, entry.name], found);
  }
}
