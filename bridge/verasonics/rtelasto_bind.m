function rtelasto_bind()
%RTELASTO_BIND  Open the sender at RtelastoEndpoint of the base workspace, unless one is open.
%   RtelastoKeys there names a folder of keys (rtelasto keys), for endpoints that other machines reach.
if rtelasto_mex('stats').open
    return
end
endpoint = 'tcp://127.0.0.1:5555';
if evalin('base', 'exist(''RtelastoEndpoint'', ''var'')')
    endpoint = evalin('base', 'RtelastoEndpoint');
end
options = struct();
if evalin('base', 'exist(''RtelastoKeys'', ''var'')')
    options.keys = evalin('base', 'RtelastoKeys');
end
fprintf('rtelasto: sending from %s\n', rtelasto_mex('open', endpoint, options));
end
