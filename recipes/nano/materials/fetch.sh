#!/usr/bin/env bash
# Fetches, by package name, what nano is trained on and unpacks it below one folder; nothing is installed.
#
#     bash recipes/nano/materials/fetch.sh materials
#
# Needs npm and, on Debian or Ubuntu, apt-get with lists up to date (apt-get update). About 1 GB with the archives,
# which are deleted as they are unpacked. What is there already is not fetched again.
set -euo pipefail

out=${1:?usage: fetch.sh FOLDER}
mkdir -p "$out/npm" "$out/deb"
out=$(cd "$out" && pwd)

# Pictures with names: see src/oryx/data/pictures/sources.py.
npm_packages=(
  @lobehub/fluent-emoji-3d@1.1.0
  @lobehub/fluent-emoji-flat@1.1.0
  emoji-datasource-twitter@16.0.0
  emoji-datasource-google@16.0.0
  @iconify-json/emojione@1.2.3
  @iconify-json/fxemoji@1.2.2
  @iconify-json/streamline-emojis@1.2.4
)
deb_packages=(
  openclipart-png        # pictures with names
  sweethome3d-furniture  # furniture of rooms
)
# Fonts to train on, then fonts to test with: see src/oryx/data/synthetic/fonts.py.
font_packages=(
  fonts-dejavu-core fonts-dejavu-extra fonts-liberation fonts-urw-base35 fonts-freefont-ttf fonts-noto-core
  fonts-roboto-unhinted fonts-inter fonts-firacode fonts-inconsolata fonts-fantasque-sans fonts-mononoki fonts-go
  fonts-linuxlibertine fonts-gfs-didot fonts-sil-gentium fonts-sil-charis fonts-sil-andika fonts-junicode
  fonts-comfortaa fonts-quicksand fonts-karla fonts-b612 fonts-play fonts-dosis fonts-national-park fonts-cardo
  fonts-adf-accanthis fonts-courier-prime
  fonts-open-sans fonts-cantarell fonts-lato fonts-crosextra-carlito fonts-crosextra-caladea fonts-ebgaramond
  fonts-vollkorn fonts-jetbrains-mono fonts-cabin fonts-roboto-slab
)

missing=()

for package in "${npm_packages[@]}"; do
  folder="$out/npm/$(echo "${package%@*}" | tr -d @ | tr / -)"
  [ -d "$folder/package" ] && continue
  echo "npm pack $package"
  work=$(mktemp -d "$out/.fetch-XXXXXX")
  if (cd "$work" && npm pack --silent "$package" >/dev/null) && tar -xzf "$work"/*.tgz -C "$work"; then
    mkdir -p "$folder" && mv "$work/package" "$folder/package"
  else
    missing+=("$package")
  fi
  rm -rf "$work"
done

for package in "${deb_packages[@]}" "${font_packages[@]}"; do
  [ -e "$out/deb/.$package" ] && continue
  echo "apt-get download $package"
  work=$(mktemp -d "$out/.fetch-XXXXXX")
  chmod 755 "$work"
  if (cd "$work" && apt-get download -qq "$package") && dpkg-deb -x "$work"/*.deb "$out/deb"; then
    touch "$out/deb/.$package"
  else
    missing+=("$package")
  fi
  rm -rf "$work"
done

if [ ${#missing[@]} -gt 0 ]; then
  echo "Not fetched: ${missing[*]}." >&2
  exit 1
fi
echo "All is in $out. Next: oryx data pictures runs/nano/pictures --from $out"
