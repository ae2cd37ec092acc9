// On a phone the pages' names are one row that scrolls: the name of this page comes into sight.
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
