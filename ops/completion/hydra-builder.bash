# Made by npm run manual; changes here are lost.
_hydra_builder() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  case $before in
    --server-root-ca-cert-path|--client-cert-path|--client-key-path|--authorization-file|-c|--config-path) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    -g|--gateway-endpoint|--domain-name) COMPREPLY=() ;;
    *) mapfile -t COMPREPLY < <(compgen -W "-g --gateway-endpoint --server-root-ca-cert-path --client-cert-path --client-key-path --domain-name --authorization-file -c --config-path --check-config --print-default-config -V --version -h --help" -- "$word") ;;
  esac
}
complete -o filenames -F _hydra_builder hydra-builder
