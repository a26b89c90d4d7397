// The ways a picture comes in: chosen, taken, dropped anywhere, pasted anywhere.

/** Call `onFiles` with each batch of files, and `onNothing` when something without a file was dropped. */
export function watchIntake(onFiles, onNothing) {
  watchChoosing(onFiles);
  watchPasting(onFiles);
  watchDropping(onFiles, onNothing);
}

function watchChoosing(onFiles) {
  for (const input of document.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = ""; // so that the same file may be chosen again
      if (files.length > 0) onFiles(files);
    });
  }
}

function watchPasting(onFiles) {
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (files.length === 0) return;
    event.preventDefault();
    onFiles(files);
  });
}

function watchDropping(onFiles, onNothing) {
  const page = document.documentElement;
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    if (event.dataTransfer) event.dataTransfer.dropEffect = "copy";
    page.classList.add("dragging");
  });
  document.addEventListener("dragleave", (event) => {
    if (event.relatedTarget === null) page.classList.remove("dragging");
  });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    page.classList.remove("dragging");
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length > 0) onFiles(files);
    else onNothing();
  });
}
