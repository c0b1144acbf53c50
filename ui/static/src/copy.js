// Copies the value before a copy button.
export function copyOnClick() {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("button.copy");
    if (!button) return;
    const value = button.previousElementSibling;
    if (await write(value)) {
      button.classList.add("copied");
      setTimeout(() => button.classList.remove("copied"), 1200);
    }
  });
}

// write puts the text of an element on the clipboard. Browsers offer the
// clipboard to https and this host only; over plain http the old way is left.
async function write(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(element);
    return document.execCommand("copy");
  }
}
